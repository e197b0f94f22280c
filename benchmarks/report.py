"""Run the benchmarks and write docs/benchmarks.md with its pictures, and README's small table.

    python -m benchmarks.report                             everything (an hour or so; leave the machine alone)
    python -m benchmarks.report --quick --output /tmp/x     few rounds, without torch.compile, to try it out
    python -m benchmarks.report --cases '^width' --output /tmp/x    those whose "group: case" matches
    python -m benchmarks.report --list                      what there is

The figures are also written to benchmarks.json; with --redraw they are read from there instead of measured.
"""

import argparse
import json
import pathlib
import re
import sys

from . import CHECKOUT


def parse(arguments):
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.report", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="few short rounds, no torch.compile")
    parser.add_argument("--cases", type=re.compile, default=re.compile(""), metavar="REGEX", help="only these")
    parser.add_argument("--output", type=pathlib.Path, default=CHECKOUT / "docs", metavar="DIR", help="default: docs/")
    parser.add_argument("--redraw", action="store_true", help="from DIR/benchmarks.json, without measuring")
    parser.add_argument("--list", action="store_true", help="print the cases and stop")
    return parser.parse_args(arguments)


def main():
    options = parse(sys.argv[1:])
    from . import cases

    chosen = [case for case in cases.all_cases() if options.cases.search(f"{case.group}: {case.name}")]
    with_imports = bool(options.cases.search("import: import time"))
    if options.list:
        print("\n".join([f"{case.group}: {case.name}" for case in chosen] + ["import: import time"] * with_imports))
        return
    options.output.mkdir(parents=True, exist_ok=True)
    stored = options.output / "benchmarks.json"
    if not options.redraw:
        stored.write_text(json.dumps(measure(chosen, with_imports, options), indent=1) + "\n")
    write(json.loads(stored.read_text()), options.output)


def measure(chosen, with_imports, options):
    from tqdm import tqdm

    from . import machine, runner

    settings = runner.QUICK if options.quick else runner.Settings()
    described = machine.describe()
    results = []
    with tqdm(total=len(chosen) + with_imports, unit="case", dynamic_ncols=True) as bar:
        if with_imports:
            bar.set_description("import time")
            results.append(runner.import_times(settings))
            bar.update()
        for case in chosen:
            bar.set_description(f"{case.group}: {case.name}")
            results.append(runner.run_case(case, settings))
            bar.update()
    command = "python -m benchmarks.report" + " --quick" * options.quick
    if options.cases.pattern:
        command += f" --cases '{options.cases.pattern}'"
    return {"command": command, "machine": described, "results": [result.as_dict() for result in results]}


def write(stored, folder):
    from . import plots, runner, tables

    results = [runner.Result(**result) for result in stored["results"]]
    path = folder / "benchmarks.md"
    path.write_text(tables.report(results, stored["machine"], stored["command"]))
    plots.draw(results, folder)
    print(f"wrote {path} and its pictures")
    readme = CHECKOUT / "README.md"
    if folder.resolve() == (CHECKOUT / "docs").resolve() and readme.exists():
        tables.update_readme(readme, results, stored["machine"])  # a trial elsewhere leaves it alone


if __name__ == "__main__":
    main()
