"""Which commit a record names."""

import os
import re
import subprocess

from cosent_lib.runs import provenance


def test_commit_is_this_checkouts_or_none():
    commit, dirty = provenance.commit_of_library()
    inside = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=os.path.dirname(__file__))
    if inside.returncode:
        assert (commit, dirty) == (None, None)
    else:
        assert commit == inside.stdout.strip()
        assert isinstance(dirty, bool)


def test_a_copy_inside_somebody_elses_checkout_has_no_commit(tmp_path, monkeypatch):
    def git(*words):
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
        subprocess.run(["git", "-C", tmp_path, *identity, *words], check=True, capture_output=True)

    git("init")
    (tmp_path / "theirs.txt").write_text("x")
    git("add", "theirs.txt")
    git("commit", "-m", "theirs")
    copy = tmp_path / "site-packages" / "runs" / "provenance.py"
    copy.parent.mkdir(parents=True)
    copy.write_text("x")
    monkeypatch.setattr(provenance, "__file__", str(copy))
    assert provenance.commit_of_library() == (None, None)
    git("add", "site-packages")
    git("commit", "-m", "ours")
    commit, dirty = provenance.commit_of_library()
    assert re.fullmatch("[0-9a-f]{40}", commit)
    assert dirty is False
    (tmp_path / "theirs.txt").write_text("changed, but not the library")
    assert provenance.commit_of_library()[1] is False
    (tmp_path / "site-packages" / "other.py").write_text("changed, in another room of the library")
    assert provenance.commit_of_library()[1] is True
