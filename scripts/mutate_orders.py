#!/usr/bin/env python3
"""Weakens each tagged memory order in turn and looks that a model test notices.

    scripts/mutate_orders.py PROGRAMS [TAG...]            runs the test that scripts/order_tests.txt names
    scripts/mutate_orders.py --search PROGRAMS [TAG...]   looks for one where none is named, and names it
    scripts/mutate_orders.py --search --all PROGRAMS      looks anew for all: the full run

PROGRAMS is the folder with the lab_models_* test programs (build/dev/bin). Nothing is built: the doubles
of the atomics see their source line, and UFENCE_LAB_WEAKEN names the lines whose orders are weaker.

What is weakened: acquire and release to relaxed; acq_rel to relaxed, acquire and release; seq_cst to
relaxed and to the strongest order below it. A line of scripts/order_tests.txt is

    FENCE.3 release fence_model.a_signaled_fence_shows_its_result
    FENCE.5 acquire - why no test can show it

Exits with 1 if an order survives: its test passes, or no test is named.
"""

import argparse
import concurrent.futures
import os
import pathlib
import sys

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from ufence_orders import mutants, runner, table  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--search", action="store_true", help="look for tests where none is named")
    parser.add_argument("--all", action="store_true", help="with --search: look anew for all")
    parser.add_argument("--root", type=pathlib.Path, default=HERE.parent, help="the repository")
    parser.add_argument("-j", type=int, default=os.cpu_count(), help="how many at a time")
    parser.add_argument("programs", type=pathlib.Path, help="the folder of the test programs")
    parser.add_argument("tags", nargs="*", help="FENCE.3, or FENCE for all of them")
    args = parser.parse_args()

    tests = runner.Tests(args.programs)
    named = table.Table(args.root / "scripts" / "order_tests.txt")
    every = mutants.of_tree(args.root)
    wanted = [m for m in every
              if not args.tags or m.tag in args.tags or m.tag.split(".")[0] in args.tags]
    if not wanted:
        parser.error(f"no tagged order is called {' or '.join(args.tags) or 'anything'}")

    with concurrent.futures.ThreadPoolExecutor(args.j) as pool:
        look = (lambda m: search(tests, named, m, args.all)) if args.search else (
            lambda m: confirm(tests, named, m))
        survivors = 0
        for m, (is_caught, text) in zip(wanted, pool.map(look, wanted)):
            survivors += not is_caught
            print(f"{'caught' if is_caught else 'SURVIVES'}  {m}  {text}", flush=True)
            if args.search:
                named.save(every)
    stale = [] if args.search else named.not_of(every)
    for tag, weaker in stale:
        print(f"STALE  {tag} {weaker}  is in {named.path.name}, but no such order is in the sources")
    print(f"mutate_orders: {len(wanted)} weaker orders, {survivors} survive")
    return 1 if survivors or stale else 0


def confirm(tests, named, m) -> tuple[bool, str]:
    entry = named.get(m)
    if entry is None:
        return False, "no test is named for it; run with --search"
    if entry.test is None:
        return True, f"not by a test: {entry.reason}"
    result = tests.run(entry.test, m)
    if result is None:
        return False, f"there is no test {entry.test}"
    return result.failed, str(result)


def search(tests, named, m, anew: bool) -> tuple[bool, str]:
    entry = named.get(m)
    if entry is not None and (entry.test is None or not anew):
        is_caught, text = confirm(tests, named, m)
        if is_caught:
            return is_caught, text
    for seconds in runner.SWEEPS_S:
        if found := tests.sweep(m, seconds):
            named.set(m, found.test)
            return True, str(found)
    return False, "no test fails"


if __name__ == "__main__":
    sys.exit(main())
