"""Where weights are found, what names them and what fetches them; nothing is downloaded here."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from radbench.metrics.clinical import weights
from radbench.metrics.clinical.weights import BERT_VOCABULARY, KNOWN, MODEL, fetch, find, fingerprint, missing, required

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


COMPLETE = ("config.json", "vocab.json", "model.safetensors")


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
    assert str(home / "chexbert") in sentence and sentence.count("\n") == 0
    assert "radbench fetch weights chexbert" in sentence and "weights=FOLDER" in sentence
    assert "download the repository my/model" in missing("my/model", MODEL, "/data")
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
    weights._content_digest.cache_clear()
    (home / "digests.json").write_text(json.dumps(dict.fromkeys(remembered, "0" * 64)))
    assert fingerprint([path]) != first  # it was not read again
    os.utime(path, ns=(1, 1))
    assert fingerprint([path]) == first


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


def _archive() -> bytes:
    members = {
        "config.json": json.dumps({"model": {"embedder": {"model_name": "someone/radiology-bert"}}}).encode(),
        "weights.th": b"weights", "vocabulary/labels.txt": b"label",
    }  # fmt: skip
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
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
        weights._unpack(archive, tmp_path / "folder")
    assert not (tmp_path / "outside").exists()


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
    modules = "bertscore chexbert chexbert_labels encoders radcliq subwords weights".split()
    code = "import sys\n" + "\n".join(f"import radbench.metrics.clinical.{m}" for m in modules)
    code += (
        "\nprint([m for m in ('torch', 'transformers', 'tokenizers', 'huggingface_hub', 'pandas') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
