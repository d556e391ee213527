"""A loss term that acts at every n-th optimizer step only, with n times its weight."""


class Lazy:
    """Which iterations such a term acts at, and which ones its last value stands for.

    The mean gradient over n steps is that of a term that acts at each; it costs an n-th of the time. Adam divides by
    the spread of the gradient, which the rarer and larger gradients widen, so that results are near but not the same.

    Source: the lazy regularization of StyleGAN2 (Karras et al., CVPR 2020, arXiv 1912.04958, section 3.1).

    Args:
        every: n, >= 1.
        accumulate: Iterations that make one optimizer step, >= 1; the term acts at all of them or at none.

    >>> lazy = Lazy(every=4, accumulate=1)
    >>> [iteration for iteration in range(1, 10) if lazy.acts(iteration)]
    [4, 8]
    >>> lazy.stands_for(4)
    range(4, 8)
    """

    def __init__(self, every: int, accumulate: int) -> None:
        self.every, self.accumulate = every, accumulate

    def acts(self, iteration: int) -> bool:
        """Whether the term acts at an iteration, counted from 1."""
        return ((iteration - 1) // self.accumulate + 1) % self.every == 0

    def stands_for(self, iteration: int) -> range:
        """The iterations up to the next one at which it acts: those whose log shows what was measured at this one."""
        is_last = iteration % self.accumulate == 0
        return range(iteration, iteration + 1 + (self.every - 1) * self.accumulate * is_last)

    def has_multiple(self, iteration: int, of: int) -> bool:
        """Whether it stands for an iteration that is a multiple of a number, e.g. one that is logged."""
        covered = self.stands_for(iteration)
        return (covered.stop - 1) // of > (covered.start - 1) // of
