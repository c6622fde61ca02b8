"""Several molecules at once: one process each, one thread each, one progress bar each."""

import math
import multiprocessing
import os
import threading
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from tqdm import tqdm

from geoequiv.errors import ConfigError, GeoequivError, RunError
from geoequiv.tasks.simulation.xtb_simulation import Plan, Progress, backend, simulate

Result = tuple[Plan, dict[str, Any] | GeoequivError]


def simulate_all(
    plans: Iterable[Plan], data_dir: str | os.PathLike[str] | None = None, *, jobs: int = 1, progress: bool = True
) -> Iterator[Result]:
    """Simulate plans side by side; each comes with its report, or its error, when it is done.

    Args:
        plans: of different molecules.
        data_dir: the data cache.
        jobs: processes at a time. They end when this one does, however that is.
        progress: show bars on standard error: steps/s and the temperature of the last 100 steps or fewer.

    Raises:
        ConfigError: two plans for one molecule, or the extra ``sim`` is missing.
        RunError: a process was killed; what it simulated is kept.
    """
    plans = list(plans)
    molecules = [plan.molecule for plan in plans]
    if len(set(molecules)) < len(molecules):
        raise ConfigError(f"Each molecule has one file; got {', '.join(molecules)}.")
    backend()  # fail before any process starts
    if min(jobs, len(plans)) <= 1:
        for plan in plans:
            yield _one(plan, data_dir, 0, progress)
        return
    context = multiprocessing.get_context("spawn")  # torch, once imported, does not survive a fork
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(jobs, len(plans)), context, _begin, (context.RLock(),)) as pool:
        try:
            futures = [pool.submit(_one, plan, data_dir, row, progress) for row, plan in enumerate(plans)]
            for future in as_completed(futures):
                yield future.result()
        except BrokenProcessPool as error:
            raise RunError(f"A simulating process was killed ({error}). Run again: all go on from there.") from error
        except BaseException:  # Ctrl-C: do not wait for hours
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            raise


def _begin(lock: Any) -> None:
    """Share the terminal, and end with the process that began this one, even if that is killed."""
    tqdm.set_lock(lock)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()


def _one(plan: Plan, data_dir: str | os.PathLike[str] | None, row: int, progress: bool) -> Result:
    try:
        with tqdm(total=plan.steps, desc=plan.molecule, unit=" steps", position=row, disable=not progress) as bar:
            return plan, simulate(plan, data_dir, shown_on(bar, plan))
    except GeoequivError as error:
        return plan, error


def shown_on(bar: Any, plan: Plan) -> Progress:
    """Progress as a bar that starts where an interrupted simulation was."""

    def progress(done: int, of: int, temperature: float) -> None:
        if math.isnan(temperature):
            bar.initial = bar.n = done
            bar.refresh()
            return
        part = "equilibration, " if done < plan.equilibration else ""
        bar.set_postfix_str(f"{part}{temperature:.0f} K", refresh=False)
        bar.update(done - bar.n)

    return progress
