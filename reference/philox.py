"""Random numbers that are named, not drawn in turn: Philox4x32-10 and what is made of its words.

Symbols: all words are integers of 32 bits, 0 <= word < 2³². ⊕ is exclusive or. N rows (samples),
D columns (elements of a sample).

Why counter-based
-----------------
An ordinary generator has a state; each draw returns a function of it and moves it on. What a sample
gets then depends on how many draws came before: on the batch split, on the order of threads, on the
backend. Philox has no state. It is a function

    block = philox4x32(counter, key)          4 words and 2 words in, 4 words out

that scrambles its counter so well that the blocks of counters 0, 1, 2, … pass the statistical
tests for randomness. One *names* the number one wants, and any thread can compute any number at any
time. In minae the name of element (n, d) of a draw is

    key     = (seed mod 2³², seed div 2³²)
    counter = (d div 4, rows[n], step, purpose)         word d mod 4 of the block               (1)

with rows[n] the sample's index in its data set, step the training step (or epoch, or number of the
parameter) and purpose a small integer (weights 1, shuffle 2, epsilon 3, …). Sample 17 gets the same
epsilon in step 300 whichever batch, thread or processor it is in. Uses that differ in purpose, step
or row never share a block.

One round
---------
Two constants multiply, two are added to the key:

    M0 = D2511F53₁₆   M1 = CD9E8D57₁₆
    W0 = 9E3779B9₁₆ = ⌊2³² (√5 - 1)/2⌋   W1 = BB67AE85₁₆ = ⌊2³² (√3 - 1)⌋

A product of two words has 64 bits: a high and a low word, hi·2³² + lo. A round takes the counter
(c0, c1, c2, c3) and the key (k0, k1) to

    hi0, lo0 = M0 · c0              hi1, lo1 = M1 · c2
    c0, c1, c2, c3 = hi1 ⊕ c1 ⊕ k0,  lo1,  hi0 ⊕ c3 ⊕ k1,  lo0                                  (2)

    code:   c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK

and after each round the key moves on (the key schedule, a Weyl sequence), so that no two rounds are
alike and repeated patterns cannot survive:

    k0 = (k0 + W0) mod 2³²          k1 = (k1 + W1) mod 2³²                                      (3)

The low bit of a product depends on the low bits of its factors only; its high word depends on all
bits. Swapping words makes the well mixed high word of one half meet the other half. Seven rounds
pass all known tests; ten leave a margin.

No two counters give one block. The round can be undone: from lo1, the odd (hence invertible mod
2³²) M1 gives back c2; c2 gives hi1; then c1 = new c0 ⊕ hi1 ⊕ k0; likewise c0 and c3. A composition
of ten bijections is a bijection: all 2¹²⁸ blocks of a key occur, each exactly once.

Uniform numbers
---------------
x has 32 bits, but float32 represents only 24 significant ones, and x · 2⁻³² could be exactly 0
(whose logarithm is -∞) and could round to exactly 1. Keep 23 bits and take the middle of each of
the 2²³ cells:

    u = ((x >> 9) + ½) · 2⁻²³ = (2 (x >> 9) + 1) · 2⁻²⁴                                         (4)

an odd multiple of 2⁻²⁴ between 2⁻²⁴ and 1 - 2⁻²⁴: never 0, never 1, exact in float32, hence the
same number in both precisions, symmetric about its mean ½. Its variance is (1 - 2⁻⁴⁶)/12.

    code:   ((x >> 9) + 0.5) * 2.0**-23

A coin with P(1) = keep is [u < keep], right to 2⁻²⁴. Compare in float64: keep = 0.1 is another
number in float32.

Normal numbers: Box and Muller
------------------------------
Two independent standard normals x, y have the joint density e^(-(x² + y²)/2) / 2π. In polar
coordinates, x = r cos θ, y = r sin θ, dx dy = r dr dθ:

    density of (r, θ) = 1/(2π) · r e^(-r²/2)           0 <= θ < 2π, r >= 0

a product: θ is uniform on the circle and r independent of it, with

    P(r > R) = ∫_R^∞ r e^(-r²/2) dr = e^(-R²/2).

A variable with P(r > R) = e^(-R²/2) is found from a uniform u by solving u = e^(-r²/2), because
then P(r > R) = P(u < e^(-R²/2)) = e^(-R²/2). So, from two uniforms u, u',

    r = √(-2 ln u)      θ = 2π u'      normals: r cos θ and r sin θ                             (5)

    code:   r, theta = np.sqrt(-2 * np.log(u[:, 0::2])), 2 * np.pi * u[:, 1::2]

Columns d (even) and d + 1 make a pair; both are words of one block, so that a pair never needs two.
For odd D the last pair's sine is dropped. The smallest u is 2⁻²⁴: no normal exceeds √(48 ln 2) =
5.77, where a true normal does once in a hundred million. Computed in float64 and rounded once, so
that backends, whose log and cos differ in the last bit, agree to a few units in the last place.

Pitfall: a 32-bit product overflows a 32-bit integer in silence; (2) needs 64 unsigned bits.

Sources: Salmon, Moraes, Dror, Shaw, Parallel random numbers: as easy as 1, 2, 3 (2011), and its
library Random123 (known answers); Box and Muller, A note on the generation of random normal
deviates (1958)."""

import numpy as np

M0, M1 = 0xD2511F53, 0xCD9E8D57
W0, W1 = 0x9E3779B9, 0xBB67AE85
MASK = 0xFFFFFFFF

KNOWN_ANSWERS = (  # counter, key, block: Random123's kat_vectors for philox4x32 with 10 rounds
    (
        (0x00000000, 0x00000000, 0x00000000, 0x00000000),
        (0x00000000, 0x00000000),
        (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
    ),
    (
        (0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        (0xFFFFFFFF, 0xFFFFFFFF),
        (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


def philox4x32(counter, key):
    """Ten rounds of (2). counter: four words, key: two words; returns the block, four words.

    Words are Python integers, or uint64 arrays of one shape holding 32-bit numbers: many blocks.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        p0 = M0 * c0  # 64 bits: hi0, lo0
        p1 = M1 * c2  # 64 bits: hi1, lo1
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0 = (k0 + W0) & MASK
        k1 = (k1 + W1) & MASK
    return c0, c1, c2, c3


def random_uint32(seed, purpose, step, rows, columns):
    """Word d % 4 of the block that (1) names. rows: integers (N,). Returns uint32 (N, columns)."""
    N, blocks = len(rows), -(-columns // 4)
    counter = np.empty((4, N, blocks), np.uint64)
    counter[0] = np.arange(blocks)  # d // 4
    counter[1] = np.asarray(rows)[:, None] & MASK
    counter[2] = step & MASK
    counter[3] = purpose & MASK
    words = philox4x32(counter, (seed & MASK, seed >> 32))  # four times (N, blocks)
    x = np.stack(words, axis=2).reshape(N, 4 * blocks)  # (N, blocks, 4) -> (N, 4·blocks)
    return x[:, :columns].astype(np.uint32)


def random_uniform(seed, purpose, step, rows, columns, dtype=np.float64):
    """u = ((x >> 9) + ½) · 2⁻²³, in the open (0, 1), x from random_uint32. Returns (N, columns)."""
    x = random_uint32(seed, purpose, step, rows, columns)
    return (((x >> 9) + 0.5) * 2.0**-23).astype(dtype)


def random_normal(seed, purpose, step, rows, columns, dtype=np.float64):
    """Box-Muller (5) on the uniforms of columns d (even) and d + 1. Returns (N, columns)."""
    pairs = -(-columns // 2)
    u = random_uniform(seed, purpose, step, rows, 2 * pairs)
    r, theta = np.sqrt(-2 * np.log(u[:, 0::2])), 2 * np.pi * u[:, 1::2]  # (N, pairs) each
    z = np.stack((r * np.cos(theta), r * np.sin(theta)), axis=2)  # (N, pairs, 2)
    return z.reshape(len(rows), 2 * pairs)[:, :columns].astype(dtype)


def random_bernoulli(seed, purpose, step, rows, keep, columns, dtype=np.float64):
    """1 where u < keep, else 0, u from random_uniform in float64. Returns (N, columns)."""
    return (random_uniform(seed, purpose, step, rows, columns) < keep).astype(dtype)


def demo():
    """Known answers, the independence of the batch split, and the moments of the normals."""
    print("counter                              key                block")
    for counter, key, block in KNOWN_ANSWERS:
        found = philox4x32(counter, key)
        print(*(" ".join(f"{word:08x}" for word in words) for words in (counter, key, found)))
        assert found == block

    rows = np.array([3, 1, 4, 1, 5])
    whole = random_normal(seed=7, purpose=2, step=300, rows=rows, columns=3)
    print("\nfive rows, three columns of normals; row 1 occurs twice and is the same twice:")
    print(whole.round(4))
    assert np.array_equal(whole[1], whole[3])
    split = [random_normal(7, 2, 300, part, 3) for part in (rows[:2], rows[2:])]
    assert np.array_equal(whole, np.concatenate(split))
    print("the same five rows in two batches give the same numbers")

    z = random_normal(seed=0, purpose=2, step=0, rows=np.arange(10_000), columns=20)
    print("\nmoments of 200 000 normals (wanted 0, 1, 0, 3):", end="")
    for power, wanted in ((1, 0), (2, 1), (3, 0), (4, 3)):
        print(f" {np.mean(z**power):.4f}", end="")
        assert abs(np.mean(z**power) - wanted) < 0.05
    print()


if __name__ == "__main__":
    demo()
