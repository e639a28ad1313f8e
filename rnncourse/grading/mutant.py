"""A classic mistake: one expression of a reference function, changed."""

import inspect
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One classic mistake in one reference function.

    It keeps shapes and dtypes and agrees with the reference on some non-trivial input, as the mistakes that
    people make do.
    """

    name: str
    """What went wrong, in a few words."""
    function: Callable
    """The reference."""
    old: str
    """The expression as it stands, once, in the function's source."""
    new: str
    """The expression that the mistake puts there."""
    agrees: str
    """The condition under which the mistake does not show."""
    hint: str
    """What to tell a student whose function behaves like this."""
    label: str
    """The label of the equation to look at again."""

    def build(self):
        """The function with the mistake in it."""
        source = textwrap.dedent(inspect.getsource(self.function))
        if source.count(self.old) != 1:
            raise ValueError(
                f"mutant {self.name!r}: {self.old!r} must stand once in {self.function.__name__}, "
                f"got {source.count(self.old)} times"
            )
        names = dict(vars(sys.modules[self.function.__module__]))
        exec(source.replace(self.old, self.new), names)
        return names[self.function.__name__]
