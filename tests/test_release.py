"""What a release depends on and no compiler checks: versions that must agree, workflows, the list of wheels."""

import importlib.util
import pathlib
import re
import subprocess
import sys

import pytest

import fastloss as fl

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
checkout = pytest.mark.skipif(not WORKFLOWS, reason="needs the checkout")

ARCHITECTURES = {
    "linux": ("manylinux_x86_64", "manylinux_aarch64", "musllinux_x86_64", "musllinux_aarch64"),
    "macos": ("macosx_x86_64", "macosx_arm64"),
    "windows": ("win_amd64", "win_arm64"),
}


@checkout
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned(path):
    """By commit, which nobody can move, with the version beside it; and no job has a right that it does not name."""
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: *(.*)", text)
    assert uses
    assert [use for use in uses if not re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", use)] == []
    assert re.search(r"^permissions: \{\}$", text, re.M)
    assert text.count("persist-credentials: false") == text.count("actions/checkout@")


@checkout
def test_only_the_publishing_job_may_have_a_token():
    texts = {path.name: path.read_text(encoding="utf-8") for path in WORKFLOWS}
    assert [name for name, text in texts.items() if "id-token" in text] == ["release.yml"]
    before, _, publish = texts["release.yml"].partition("\n  publish:\n")
    assert "id-token: write" in publish
    assert "id-token" not in before
    assert "secrets." not in "".join(texts.values())


@checkout
def test_versions_agree():
    recipe = (ROOT / "conda" / "recipe.yaml").read_text(encoding="utf-8")
    assert re.search(r'^  version: "(.*)"$', recipe, re.M)[1] == fl.__version__


@checkout
@pytest.mark.parametrize("platform", ARCHITECTURES)
def test_builds_of_cibuildwheel(platform):
    if importlib.util.find_spec("cibuildwheel") is None:
        pytest.skip("cibuildwheel is not installed")
    listed = subprocess.run([sys.executable, "-m", "cibuildwheel", "--print-build-identifiers", "--platform", platform],
                            cwd=ROOT, check=True, capture_output=True, text=True).stdout.split()
    pythons = ("cp311", "cp314t")
    expected = {f"{python}-{architecture}" for python in pythons for architecture in ARCHITECTURES[platform]}
    assert set(listed) == expected
