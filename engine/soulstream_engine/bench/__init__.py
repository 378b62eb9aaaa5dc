"""The benchmark behind ``soulstream bench``: how late, how fast, how steady the real pipeline is on this computer.

Everything is measured from outside, on the very objects that dance live: a clock around each compiled step
(``timing``), the real worker, pacer, sender and a receiver in a process of its own. One file measures one thing and
returns plain numbers; ``runner`` puts them together, ``report`` shows them, ``compare`` sets two results side by side.
What each number means is written in ``docs/benchmark.md``.
"""
