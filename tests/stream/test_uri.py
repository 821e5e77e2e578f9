"""One convention for every source; mistakes are answered with the nearest right form; secrets are never shown."""

from __future__ import annotations

import contextlib
import dataclasses
import pickle
import urllib.parse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.errors import CameraUriError
from kit.stream.sources import members, names, resolve
from kit.stream.uri import CameraUri, Secret, network_uri, redacted, scheme_of

PASSWORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=6, max_size=20)


def shown(uri: CameraUri) -> str:
    return f"{uri!r} {uri!s} {uri} {[uri]} {dataclasses.asdict(uri)}"


@given(PASSWORDS)
def test_a_percent_encoded_password_reaches_the_camera_and_nothing_else(password: str) -> None:
    encoded = urllib.parse.quote(password, safe="")
    uri = network_uri(f"rtsp://admin:{encoded}@host:554/path")
    assert urllib.parse.unquote(urllib.parse.urlsplit(uri.address.reveal()).password or "") == password
    assert str(uri) == "rtsp://***@host:554/path"
    for text in (shown(uri), uri.redact(f"cannot open rtsp://admin:{encoded}@host, tried {password} and {encoded}")):
        assert encoded not in text
        assert password not in text


@given(st.text("abcABC012@:!$&'()*+,;=-._~%", min_size=6))
def test_a_password_with_signs_that_should_be_encoded_is_understood(password: str) -> None:
    literal = password.replace("%", "%25")
    uri = network_uri(f"rtsp://admin:{literal}@host/path")
    parts = urllib.parse.urlsplit(uri.address.reveal())
    assert parts.hostname == "host"
    assert urllib.parse.unquote(parts.password or "") == urllib.parse.unquote(literal)
    assert str(uri) == "rtsp://***@host/path"


@pytest.mark.parametrize("password", ["pa/ss", "12/34", "p@ss/word", "pa?ss", "12?34"])
@pytest.mark.parametrize("user", ["admin:", ""])
def test_a_password_that_ends_the_host_too_early_is_refused_and_not_shown(user: str, password: str) -> None:
    with pytest.raises(CameraUriError) as caught:
        network_uri(f"rtsp://{user}{password}@host/path")
    assert "ss" not in str(caught.value).replace("password", "").replace("pass%2Fword", "")
    assert "34" not in str(caught.value)


@given(st.text(min_size=1))
def test_a_secret_prints_as_stars(text: str) -> None:
    assert str(Secret(text)) == repr(Secret(text)) == f"{Secret(text)}" == "***"
    assert Secret(text).reveal() == text
    assert (Secret(text) == Secret(text), Secret(text) == Secret(text + "x")) == (True, False)
    assert hash(Secret(text)) == hash(Secret(text))


def test_pickling_keeps_a_secret() -> None:
    assert pickle.loads(pickle.dumps(Secret("hidden"))) == Secret("hidden")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rtsp://u:secret@h/x", "rtsp://***@h/x"),
        ("rtspsrc location=rtsp://u:sec/ret@h/x user-pw=secret ! x", "rtspsrc location=rtsp://***@h/x user-pw=*** ! x"),
        ('souphttpsrc user-pw="se cret" ! x', "souphttpsrc user-pw=*** ! x"),
        ("http://h/x?token=secret&channel=1", "http://h/x?token=***&channel=1"),
        ("http://h/x?ch=1&pwd=secret", "http://h/x?ch=1&pwd=***"),
        ("admin:secret@10.0.0.1", "***@10.0.0.1"),
        ("/home/me@work/video.mp4", "/home/me@work/video.mp4"),
        ("nothing to hide: 5 s", "nothing to hide: 5 s"),
    ],
)
def test_what_looks_like_credentials_is_hidden_in_any_text(text: str, expected: str) -> None:
    assert redacted(text) == expected
    assert redacted(expected) == expected


@pytest.mark.parametrize(
    ("text", "kind", "said", "options"),
    [
        ("rtsp://host/path", "rtsp", "rtsp://host/path", {}),
        ("RTSPS://host:322/p?ch=1#Transport=udp", "rtsp", "rtsps://host:322/p?ch=1", {"transport": "udp"}),
        ("rtsp://[::1]:554/x", "rtsp", "rtsp://[::1]:554/x", {}),
        ("http://host/a.mjpg?fps=5", "http", "http://host/a.mjpg?fps=5", {}),
        ("/dev/video2", "v4l2", "v4l2:///dev/video2", {}),
        ("v4l2:///dev/v4l/by-id/usb-cam?size=640x480&fps=30", "v4l2", "v4l2:///dev/v4l/by-id/usb-cam",
         {"size": "640x480", "fps": "30"}),
        ("csi://1?flip=2", "csi", "csi://1", {"flip": "2"}),
        ("gst:videotestsrc ! x#a=b", "gst", "gst:videotestsrc ! x#a=b", {}),
        ("videotestsrc ! videoconvert", "gst", "gst:videotestsrc ! videoconvert", {}),
        ("test://12.5fps?size=64x48", "synthetic", "test://12.5fps", {"size": "64x48"}),
        ("test:", "synthetic", "test:", {}),
        ("file:a.mp4#loop=yes&pace=none", "file", "file:a.mp4", {"loop": "yes", "pace": "none"}),
        ("dir:images#fps=5", "folder", "dir:images", {"fps": "5"}),
    ],
)  # fmt: skip
def test_right_forms(text: str, kind: str, said: str, options: dict[str, str]) -> None:
    source, uri = resolve(text)
    assert (source.name, str(uri), dict(uri.options)) == (kind, said, options)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("rstp://host/x", "did you mean rtsp://user:password@host:554/path?"),
        ("rtsp:/host/x", "write rtsp://host/x"),
        ("rtsp:host/x", "write rtsp://host/x"),
        ("rtsp://", "names no host; write rtsp://host:554/path"),
        ("rtsp://host:none/x", "no number from 1 to 65535; write rtsp://host:554/path"),
        ("rtsp://host:70000/x", "no number from 1 to 65535"),
        ("rtsp://host/x#transpot=udp", 'no option "transpot"; did you mean "transport"?'),
        ("rtsp://host/x#transport=upd", 'did you mean "udp"?'),
        ("rtsp://host/x#transport=udp&transport=tcp", "given twice"),
        ("0", "did you mean v4l2:///dev/video0 or csi://0?"),
        ("v4l2:0", "did you mean v4l2:///dev/video0?"),
        ("v4l2://dev/video1", "did you mean v4l2:///dev/video1?"),
        ("v4l2:/dev/video1", "did you mean v4l2:///dev/video1?"),
        ("csi:0", "did you mean csi://0?"),
        ("csi:///dev/video1", "did you mean csi://1?"),
        ("test://fast", "write test://30fps"),
        ("test://0fps", "write test://30fps"),
        ("test://30fps?pattern=shape", 'did you mean "shapes"?'),
        ("gst:", "holds no pipeline"),
        ("videotestsrc ! appsink", "end it before that"),
        ("192.168.1.10/stream", "did you mean rtsp://192.168.1.10/stream"),
        ("camera.local", "did you mean rtsp://camera.local"),
        ("camera:554/stream", "did you mean rtsp://camera:554/stream"),
        ("admin:secret@camera:554/stream", "did you mean rtsp://***@camera:554/stream"),
        ("nowhere.mp4", 'there is no file, folder or device "nowhere.mp4"'),
        ("quicktime:movie", "choose from csi:"),
    ],
)
def test_mistakes_are_answered_with_the_nearest_right_form(text: str, answer: str) -> None:
    with pytest.raises(CameraUriError) as caught:
        resolve(text)
    said = str(caught.value)
    assert answer in said
    assert "secret" not in said
    assert "\n" not in said


def test_every_form_that_a_message_offers_is_right() -> None:
    assert len(names()) >= 8
    for source in members():
        for form in source.forms:
            assert resolve(form)[0].name == source.name
            assert scheme_of(form) in source.schemes
        for option in source.options:
            base = source.forms[0].partition("?")[0]
            for example in option.examples:
                assert resolve(f"{base}#{option.name}={example}")[1].options == {option.name: example}


@given(st.text())
def test_any_text_is_a_camera_or_one_line_about_it(text: str) -> None:
    with contextlib.suppress(CameraUriError):
        source, uri = resolve(text)
        assert uri.scheme in source.schemes


SCHEMES = st.sampled_from(["rtsp://", "rtsp:", "http://", "test://", "csi:", "v4l2://"])


@given(SCHEMES, st.text("ab@:/?#=&.1%[]", max_size=20))
def test_nearly_right_text_is_a_camera_or_one_line_about_it(scheme: str, rest: str) -> None:
    with contextlib.suppress(CameraUriError):
        assert resolve(scheme + rest)[1].scheme == scheme.partition(":")[0]


def test_a_file_whose_name_looks_like_options_is_that_file(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a#loop=yes", "b c.mp4", "d?e=f.mp4"):
        (tmp_path / name).touch()
        source, uri = resolve(name)
        assert (source.name, uri.address.reveal(), dict(uri.options)) == ("file", name, {})
    encoded = f"file://{tmp_path}/b%20c.mp4"
    assert resolve(encoded)[1].address.reveal() == str(tmp_path / "b c.mp4")
    assert resolve("a#loop=yes#loop=yes")[1].options == {"loop": "yes"}
