"""Measurements that stand behind the README's figures."""
