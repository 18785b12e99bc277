"""Where weights are found, what names them and what fetches them; nothing is downloaded here."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from radbench.metrics.clinical import fingerprints, weights
from radbench.metrics.clinical.fingerprints import fingerprint
from radbench.metrics.clinical.weights import BERT_VOCABULARY, KNOWN, MODEL, fetch, find, missing, required

from radbench.errors import ConfigError


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "radbench" / "weights"


def model(folder: Path, *files: str) -> Path:
    folder.mkdir(parents=True)
    for name in files:
        (folder / name).write_text("{}")
    return folder


COMPLETE = ("config.json", "vocab.json", "merges.txt", "model.safetensors")


def test_the_users_folder_comes_before_other_caches(home: Path, tmp_path: Path) -> None:
    theirs = model(tmp_path / "cache" / "chexbert", "chexbert.pth")
    assert find("chexbert", KNOWN["chexbert"].needs) == theirs  # where f1chexbert keeps it
    ours = model(home / "chexbert", "chexbert.pth")
    assert find("chexbert", KNOWN["chexbert"].needs) == ours


def test_a_given_folder_is_the_thing_or_holds_it_and_nothing_else_is_asked(home: Path, tmp_path: Path) -> None:
    model(home / "distilroberta-base", *COMPLETE)
    inside = model(tmp_path / "mine" / "distilroberta-base", *COMPLETE)
    for folder in (inside, tmp_path / "mine"):
        assert find("distilroberta-base", MODEL, str(folder)) == inside
    assert find("distilroberta-base", MODEL, str(tmp_path / "elsewhere")) is None


@pytest.mark.parametrize("absent", COMPLETE)
def test_an_incomplete_folder_is_not_the_model(absent: str, home: Path) -> None:
    folder = model(home / "distilroberta-base", *COMPLETE)
    (folder / absent).unlink()
    assert find("distilroberta-base", MODEL) is None


def test_the_hugging_face_cache_is_looked_at_without_a_download(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    cache = tmp_path / "hub"
    snapshot = cache / "models--distilroberta-base" / "snapshots" / "abc"
    model(snapshot, *COMPLETE)
    (snapshot.parents[1] / "refs").mkdir()
    (snapshot.parents[1] / "refs" / "main").write_text("abc")
    look = hub.try_to_load_from_cache
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda r, f: look(r, f, cache_dir=cache))
    assert find("distilroberta-base", MODEL) == snapshot
    assert find("bert-base-uncased", BERT_VOCABULARY) is None
    assert find("some/where/else", MODEL) is None


def test_what_is_missing_is_said_with_the_command_that_brings_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_hub_cache", lambda name, needs: [])
    sentence = missing("chexbert", KNOWN["chexbert"].needs)
    assert sentence == f"chexbert not found in {home} or the usual caches; radbench fetch weights chexbert"
    given = missing("chexbert", KNOWN["chexbert"].needs, "/data")
    assert given == "chexbert not found in /data; radbench fetch weights chexbert --out /data"
    assert "download the repository my/model" in missing("my/model", MODEL, "/data")
    folder = model(home / "distilroberta-base", "config.json", "vocab.json", "model.safetensors")
    assert missing("distilroberta-base", MODEL) == (
        f"{folder} has no vocab.json+merges.txt or vocab.txt or tokenizer.json; radbench fetch weights distilroberta-base"
    )
    with pytest.raises(ConfigError) as error:
        required("chexbert", KNOWN["chexbert"].needs)
    assert error.value.remedy.startswith("radbench fetch weights chexbert")


# --- fingerprints ---


def test_a_fingerprint_follows_the_content_wherever_the_files_are(tmp_path: Path) -> None:
    one, other = (model(tmp_path / n, "a.bin", "b.txt") for n in ("one", "other"))

    def mark(folder: Path) -> str:
        return fingerprint([folder / "b.txt", folder / "a.bin"])

    assert mark(one) == mark(other) and len(mark(one)) == 12
    (other / "a.bin").write_text("[]")
    assert mark(one) != mark(other)
    assert fingerprint([one / "a.bin"]) != mark(one)


def test_large_files_are_read_once_a_machine(tmp_path: Path, home: Path) -> None:
    path = tmp_path / "large.pth"
    path.write_bytes(b"x" * 11_000_000)
    first = fingerprint([path])
    remembered = json.loads((home / "digests.json").read_text())
    assert list(remembered) == [f"{path}|11000000|{path.stat().st_mtime_ns}"]
    fingerprints._content_digest.cache_clear()
    (home / "digests.json").write_text(json.dumps(dict.fromkeys(remembered, "0" * 64)))
    assert fingerprint([path]) != first  # it was not read again
    os.utime(path, ns=(1, 1))
    assert fingerprint([path]) == first


@pytest.mark.parametrize("damaged", ["[1]", "null", "[1", ""])
def test_a_damaged_memory_is_written_anew(damaged: str, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "large.pth"
    path.write_bytes(b"x" * 11_000_000)
    home.mkdir(parents=True)
    (home / "digests.json").write_text(damaged)
    fingerprint([path])
    assert list(json.loads((home / "digests.json").read_text())) == [f"{path}|11000000|{path.stat().st_mtime_ns}"]


def test_a_home_that_cannot_be_written_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    path = tmp_path / "large.pth"
    path.write_bytes(b"x" * 11_000_000)
    assert len(fingerprint([path])) == 12


# --- fetching ---


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A hub that has every file; what is asked of it is recorded."""
    package = pytest.importorskip("huggingface_hub")
    asked: list[tuple[str, str]] = []

    def download(repository: str, file: str, local_dir: Path) -> str:
        asked.append((repository, file))
        local_dir.mkdir(parents=True, exist_ok=True)
        path = local_dir / file
        path.write_bytes(_archive() if file.endswith(".tar.gz") else b"{}")
        return str(path)

    monkeypatch.setattr(package, "hf_hub_download", download)
    return asked


def _archive(top: str = "", weights_size: int = 7) -> bytes:
    members = {
        "config.json": json.dumps({"model": {"embedder": {"model_name": "someone/radiology-bert"}}}).encode(),
        "weights.th": os.urandom(weights_size), "vocabulary/labels.txt": b"label",
    }  # fmt: skip
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(top + name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_what_is_fetched_is_found(name: str, hub: list[tuple[str, str]], home: Path) -> None:
    assert fetch(name)[0] == home / name
    assert find(name, KNOWN[name].needs) == home / name
    assert {repository for repository, _ in hub} >= {KNOWN[name].repository}


def test_chexbert_comes_with_its_vocabulary(hub: list[tuple[str, str]], tmp_path: Path) -> None:
    folders = fetch("chexbert", str(tmp_path / "w"))
    assert folders == [tmp_path / "w" / "chexbert", tmp_path / "w" / "bert-base-uncased"]
    assert ("StanfordAIMI/RRG_scorers", "chexbert.pth") in hub


def test_radgraph_is_unpacked_and_comes_with_its_encoder(hub: list[tuple[str, str]], tmp_path: Path) -> None:
    folder = fetch("radgraph", str(tmp_path))[0]
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "encoder", "vocabulary", "weights.th"]
    assert ("someone/radiology-bert", "vocab.txt") in hub and (folder / "encoder" / "config.json").exists()


def test_an_archive_may_not_write_outside_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "evil.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        info = tarfile.TarInfo("../outside")
        tar.addfile(info, io.BytesIO())
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        weights._unpack(archive, tmp_path / "folder", KNOWN["radgraph"].needs)
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("top", ["", "radgraph/", "./"])
def test_an_archive_may_have_a_folder_around_its_files(top: str, tmp_path: Path) -> None:
    folder = tmp_path / "radgraph"
    (folder / "vocabulary").mkdir(parents=True)
    (folder / "vocabulary" / "of-before.txt").touch()
    (folder / "radgraph.tar.gz").write_bytes(_archive(top))
    weights._unpack(folder / "radgraph.tar.gz", folder, KNOWN["radgraph"].needs)
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*")) == [
        "config.json", "vocabulary", "vocabulary/labels.txt", "weights.th",
    ]  # fmt: skip


def _flipped(content: bytes) -> bytes:
    return content[:5000] + bytes([content[5000] ^ 255]) + content[5001:]


@pytest.mark.parametrize(
    "damage", [lambda b: b[:5], lambda b: b[: len(b) // 2], lambda b: b[:-9], _flipped, lambda b: b"<html>404</html>"]
)
def test_a_damaged_archive_leaves_nothing(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    archive = tmp_path / "radgraph.tar.gz"
    archive.write_bytes(damage(_archive(weights_size=300_000)))
    with pytest.raises(ConfigError, match="cannot be unpacked"):
        weights._unpack(archive, tmp_path / "folder", KNOWN["radgraph"].needs)
    assert list((tmp_path / "folder").iterdir()) == []


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "other.tar.gz"
    archive.write_bytes(_archive())
    with pytest.raises(ConfigError, match=r"has no chexbert\.pth"):
        weights._unpack(archive, tmp_path / "folder", KNOWN["chexbert"].needs)


def test_errors_of_fetching_say_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no weights are called 'chexbart'.*did you mean 'chexbert'"):
        fetch("chexbart")
    package = pytest.importorskip("huggingface_hub")

    def offline(*args: object, **options: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(package, "hf_hub_download", offline)
    with pytest.raises(ConfigError, match="could not be downloaded"):
        fetch("chexbert", str(tmp_path))


def test_the_modules_are_imported_without_torch() -> None:
    modules = [p.stem for p in Path(weights.__file__).parent.glob("*.py")]
    code = "import sys\n" + "\n".join(f"import radbench.metrics.clinical.{m}" for m in modules)
    code += (
        "\nprint([m for m in ('torch', 'transformers', 'tokenizers', 'huggingface_hub', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
