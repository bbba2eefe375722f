"""Where the CPU time of one process goes: functions are watched, and each second is charged to the innermost one."""

import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from typing import Any


class Phases:
    """CPU seconds by phase, from the moment it is made; what no watched function takes is ``rest``.

    Attributes:
        seconds: by phase.
        calls: of phases watched with a size: (size, CPU seconds) of each call, in order.
    """

    def __init__(self, *, whole: str) -> None:
        """Inside the phase ``whole`` nothing is charged to another."""
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.calls: defaultdict[str, list[tuple[int, float]]] = defaultdict(list)
        self._whole, self._stack = whole, ["rest"]
        self._last = time.process_time()

    def watch(self, owner: Any, name: str, phase: str, size: Callable[..., int] | None = None) -> None:
        """Charge calls of ``owner.name`` to ``phase``; ``size`` of the arguments says how much work a call is."""
        function = getattr(owner, name)

        @wraps(function)
        def watched(*args: Any, **kwargs: Any) -> Any:
            if self._whole in self._stack:
                return function(*args, **kwargs)
            self._charge()
            self._stack.append(phase)
            begin = self._last
            try:
                return function(*args, **kwargs)
            finally:
                self._charge()
                self._stack.pop()
                if size is not None:
                    self.calls[phase].append((size(*args, **kwargs), self._last - begin))

        setattr(owner, name, watched)

    def stop(self) -> dict[str, float]:
        """The seconds so far."""
        self._charge()
        return dict(self.seconds)

    def _charge(self) -> None:
        now = time.process_time()
        self.seconds[self._stack[-1]] += now - self._last
        self._last = now
