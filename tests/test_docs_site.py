"""The documentation builds without a warning and without network, has a page for every name, and its pictures."""

import importlib.util
import pathlib
import re
import shutil
import subprocess
import sys
import zlib

import pytest

import fastloss as fl

ROOT = pathlib.Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
# No connection leaves this process: what would need the network fails, and the build with it.
BUILD = """
import socket, sys
def refused(*_, **__):
    raise OSError("no network in this test")
socket.socket.connect = socket.getaddrinfo = refused
from sphinx.cmd.build import main
sys.exit(main(sys.argv[1:]))
"""


def need(*libraries):
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built pages; the sources are copied, because the build writes a page for each name beside them."""
    need("sphinx", "myst_parser", "furo", "sphinx-mathjax-offline", "sklearn")
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(ROOT / "docs", folder / "docs", ignore=shutil.ignore_patterns("_build", "generated", "__pycache__"))
    for page in ROOT.glob("*.md"):
        shutil.copy(page, folder)
    done = subprocess.run([sys.executable, "-c", BUILD, "-W", "--keep-going", "-n", "-q", "-b", "html", "docs", "html"],
                          cwd=folder, timeout=300, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "html"


def test_every_public_name_has_an_entry(site):
    """By the site's own index of names, which Sphinx writes for other projects to link to."""
    index = zlib.decompress((site / "objects.inv").read_bytes().split(b"\n", 4)[4]).decode()
    entries = set(re.findall(r"^fastloss\.(\w+) py:", index, re.M))
    assert set(fl.__all__) - {"__version__"} - entries == set()
    adapters = set(re.findall(r"^fastloss\.adapters\.(\w+\.\w+) py:", index, re.M))
    assert {f"{booster}.{name}" for booster in ("xgboost", "lightgbm", "catboost")
            for name in ("objective", "metric")} <= adapters
    assert {"torch.apply", "jax.wrap", "scipy.linear_objective", "sklearn.LinearClassifier",
            "sklearn.LinearRegressor", "sklearn.scorer"} <= adapters


def test_the_page_of_a_loss(site):
    page = (site / "generated" / "fastloss.hinge_loss.html").read_text(encoding="utf-8")
    assert "hinge_loss.png" in page
    assert 'href="fastloss.mse_loss.html#fastloss.mse_loss"' in page  # `mse_loss` in a docstring is a link
    assert all(word in page for word in ("margin", "Parameters", "Raises", "Examples"))


def test_nothing_is_loaded_from_elsewhere(site):
    pages = [*site.rglob("*.html")]
    assert len(pages) > 50
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="(?:https?:)?//[^"]*', text)
        loaded += re.findall(r'<link[^>]*stylesheet[^>]*href="https?:[^"]*', text)
        assert loaded == [], page


def losses():
    return {name for name in fl.__all__ if hasattr(getattr(fl, name), "value_and_grad")
            and not isinstance(getattr(fl, name), type)} | {"zero_one_loss"}


def test_every_loss_has_its_picture():
    pictures = {picture.stem: picture for picture in PICTURES.glob("*.png")}
    assert losses() <= set(pictures)
    assert all(picture.stat().st_size < 40_000 for picture in pictures.values())
    table = (ROOT / "docs" / "losses.md").read_text(encoding="utf-8")
    assert losses() == set(re.findall(r"\(pictures/(\w+)\.png\)", table))


def test_the_pictures_can_be_drawn(tmp_path):
    need("matplotlib")
    script = ROOT / "docs" / "plots.py"
    subprocess.run([sys.executable, "-W", "error", str(script), "--into", str(tmp_path)], cwd=tmp_path, timeout=300,
                   check=True)
    assert {p.name for p in tmp_path.iterdir()} == {p.name for p in PICTURES.glob("*.png")}
    assert all(picture.stat().st_size > 3_000 for picture in tmp_path.iterdir())
