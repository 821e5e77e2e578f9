"""kit targets: a table that fits a terminal, every fact on demand, and JSON for programs."""

import json
from pathlib import Path

import pytest

from kit import targets
from kit.cli import run


@pytest.mark.parametrize("columns", ["80", "120"])
def test_the_list_fits_and_names_all(
    columns: str, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert run(["targets"]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert max(map(len, lines)) <= int(columns)
    assert not [line for line in lines if "…" in line]
    assert [line.split()[0] for line in lines if line.split()[:1] and line.split()[0] in targets.names()] == [
        *targets.names()
    ]
    assert any(line.split() == ["t4", "16", "GiB", "26.07-py3", "1.27.0", "8"] for line in lines)


def test_the_list_is_whole_in_a_narrow_terminal(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert run(["targets"]) == 0
    out = capsys.readouterr().out
    lines = [line.rstrip() for line in out.splitlines()]
    assert max(map(len, lines)) <= 60
    assert "…" not in out
    assert [line.split()[0] for line in lines if line[:1].strip() and line.split()[0] in targets.names()] == [
        *targets.names()
    ]
    assert "  memory 16 GiB; CUDA, DLA 7.5" in lines


def test_one_target_shows_each_value_and_unbroken_sources(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert run(["targets", "orin-nano-8gb"]) == 0
    out = capsys.readouterr().out
    target = targets.load("orin-nano-8gb")
    assert all(fact.source in out for fact in target.facts if fact.source != "choice")
    assert all(len(line.rstrip()) <= 80 for line in out.splitlines() if "/" not in line)
    assert "power_modes               15W, 25W, MAXN_SUPER, 7W  [3]" in out
    assert "no source" not in out


def test_json_is_one_document(capsys: pytest.CaptureFixture) -> None:
    assert run(["targets", "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [d["name"] for d in documents] == [*targets.names()]
    assert run(["targets", "t4", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["device"]["compute_capability"] == "7.5"
    assert Path(document["file"]).name == "t4.toml"


def test_own_targets_are_marked(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = targets.source_file("t4").read_text()
    (tmp_path / "our-t4.toml").write_text(file.replace("[[facts]]", "[[facts]] # x"))
    assert run(["targets", "--targets", str(tmp_path)]) == 0
    assert "Your own: our-t4. kit targets NAME shows" in capsys.readouterr().out


def test_a_value_without_source_is_shown_as_such(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = targets.source_file("t4").read_text().partition("[[facts]]")[0]
    (tmp_path / "bare.toml").write_text(text)
    assert run(["targets", "bare", "--targets", str(tmp_path)]) == 0
    assert "no source" in capsys.readouterr().out


def test_an_unknown_name_is_one_line_and_exit_code_20(capsys: pytest.CaptureFixture) -> None:
    assert run(["targets", "t5"]) == 20
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith('kit: no target "t5"; did you mean "t4"?')
    assert err.count("\n") == 1


def test_a_wrong_file_is_exit_code_61(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "wrong.toml").write_text("device = 3")
    assert run(["targets", "--targets", str(tmp_path)]) == 61
    assert "wrong.toml: 3 problems" in capsys.readouterr().err
