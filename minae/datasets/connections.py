"""Connection records made by rule: what a small office's network does, and five attacks on it.

Each record is one connection in the manner of KDD'99: protocol, service and how it ended (`flag`,
SF is normal), its duration in seconds, bytes sent either way, failed logins, whether someone logged
in, and of the two seconds before: how many connections went to the same host (`count`), the share
of them to the same service and the share that was half open.

Normal traffic is web (http, https), mail (smtp), names (dns), files (ftp) and shells (ssh), each
with log-normal durations and sizes of its own. The attacks:

| attack       | what it does to the record                                                     |
|--------------|--------------------------------------------------------------------------------|
| syn flood    | half-open connections (S0) to one service in hundreds, no bytes                |
| port scan    | refused connections (REJ, RSTR) to ever other services                         |
| guessing     | ssh or ftp logins that fail, short, again and again                            |
| exfiltration | one service as ever, but megabytes go out where kilobytes did                  |
| tunnel       | dns that lasts minutes and carries kilobytes: each number is normal for ssh    |
"""

import numpy as np

from minae.backends.spec import Array
from minae.datasets.table import Table

ATTACKS = ("syn flood", "port scan", "guessing", "exfiltration", "tunnel")
# service: share, protocol, and the median of seconds, bytes sent, bytes received
SERVICES = {
    "http": (0.34, "tcp", 0.4, 300, 4_000),
    "https": (0.26, "tcp", 2.0, 900, 9_000),
    "dns": (0.22, "udp", 0.02, 45, 130),
    "smtp": (0.10, "tcp", 1.5, 2_500, 330),
    "ftp": (0.05, "tcp", 12.0, 150, 20_000),
    "ssh": (0.03, "tcp", 90.0, 4_000, 6_000),
}
NUMERIC = (
    *("duration", "bytes_out", "bytes_in", "failed_logins", "logged_in", "count"),
    *("same_service_rate", "half_open_rate"),
)


def generate_connections(
    normal: int = 6000, of_each_attack: int = 150, seed: int = 0
) -> tuple[Table, Array]:
    """A table of normal + 5·of_each_attack records, and their labels int64 (M,): 0 normal, c the
    attack ATTACKS[c - 1]."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(ATTACKS) + 1), [normal] + [of_each_attack] * len(ATTACKS))
    records = [_connection(rng, "" if c == 0 else ATTACKS[c - 1]) for c in labels]
    columns = {
        name: np.array([record[name] for record in records])
        for name in ("protocol", "service", "flag")
    }
    columns |= {name: np.array([r[name] for r in records], np.float64) for name in NUMERIC}
    return Table(columns), labels.astype(np.int64)


def _connection(rng: np.random.Generator, attack: str) -> dict[str, str | float]:
    names = list(SERVICES)
    shares = np.array([values[0] for values in SERVICES.values()])
    service = names[rng.choice(len(names), p=shares)]
    if attack == "guessing":
        service = str(rng.choice(["ssh", "ftp"]))
    elif attack == "tunnel":
        service = "dns"
    elif attack == "syn flood":
        service = str(rng.choice(["http", "https", "smtp"]))
    _, protocol, seconds, out, back = SERVICES[service]
    if attack == "tunnel":
        seconds, out, back = 120, 6_000, 5_000
    with_login = service in ("ssh", "ftp")
    record: dict[str, str | float] = {
        "protocol": protocol,
        "service": service,
        "flag": str(rng.choice(["SF", "RSTO", "REJ", "S0"], p=[0.95, 0.02, 0.02, 0.01])),
        "duration": round(_around(rng, seconds, 0.8), 2),
        "bytes_out": round(_around(rng, out, 0.6)),
        "bytes_in": round(_around(rng, back, 0.8)),
        "failed_logins": float(with_login and rng.random() < 0.04),
        "logged_in": float(with_login),
        "count": float(rng.geometric(0.25)),
        "same_service_rate": round(float(rng.beta(8, 1.5)), 2),
        "half_open_rate": round(float(rng.beta(0.3, 12)), 2),
    }
    if record["flag"] in ("REJ", "S0"):
        record |= {"duration": 0.0, "bytes_out": 0.0, "bytes_in": 0.0, "logged_in": 0.0}
    if attack == "syn flood":
        record |= {
            "flag": "S0",
            "duration": 0.0,
            "bytes_out": 0.0,
            "bytes_in": 0.0,
            "count": float(rng.integers(80, 500)),
            "same_service_rate": round(float(rng.beta(40, 1)), 2),
            "half_open_rate": round(float(rng.beta(30, 2)), 2),
        }
    elif attack == "port scan":
        record |= {
            "flag": str(rng.choice(["REJ", "RSTR"])),
            "duration": 0.0,
            "bytes_out": 0.0,
            "bytes_in": 0.0,
            "logged_in": 0.0,
            "count": float(rng.integers(10, 120)),
            "same_service_rate": round(float(rng.beta(1, 12)), 2),
        }
    elif attack == "guessing":
        record |= {
            "duration": round(_around(rng, 2.0, 0.5), 2),
            "bytes_in": round(_around(rng, 600, 0.3)),
            "failed_logins": float(rng.integers(2, 6)),
            "logged_in": 0.0,
            "count": float(rng.integers(5, 30)),
        }
    elif attack == "exfiltration":
        record |= {
            "flag": "SF",
            "duration": round(_around(rng, 30, 0.8), 2),
            "bytes_out": round(_around(rng, 3_000_000, 0.8)),
        }
    return record


def _around(rng: np.random.Generator, median: float, spread: float) -> float:
    """A log-normal number with this median."""
    return float(median * np.exp(spread * rng.standard_normal()))
