"""Another RTSP server, GStreamer's: UDP, and a password by digest. ``/usr/bin/python3 gst_rtsp_server.py PORT``.

Needs Debian's gir1.2-gst-rtsp-server-1.0, gstreamer1.0-plugins-base, -good and -ugly. ``/private`` is
for the user ``admin`` with the password ``p@ss:/word``.
"""

from __future__ import annotations

import os
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtsp", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtsp, GstRtspServer  # noqa: E402

PIPELINE = (
    "( videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=25/1"
    " ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=10 ! rtph264pay name=pay0 pt=96 config-interval=1 )"
)


def main(port: str) -> None:
    """Serve until standard input ends."""
    Gst.init(None)
    server = GstRtspServer.RTSPServer(address="127.0.0.1", service=port)
    authorisation = GstRtspServer.RTSPAuth()
    authorisation.set_supported_methods(GstRtsp.RTSPAuthMethod.DIGEST)
    token = GstRtspServer.RTSPToken()
    token.set_string("media.factory.role", "user")
    authorisation.add_digest("admin", "p@ss:/word", token)
    server.set_auth(authorisation)
    factory = GstRtspServer.RTSPMediaFactory()
    factory.set_launch(PIPELINE)
    factory.set_shared(True)
    role = Gst.Structure.new_empty("user")
    role.set_value("media.factory.access", True)
    role.set_value("media.factory.construct", True)
    permissions = GstRtspServer.RTSPPermissions()
    permissions.add_role_from_structure(role)
    factory.set_permissions(permissions)
    server.get_mount_points().add_factory("/private", factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


def end_with_parent() -> None:
    sys.stdin.read()
    os._exit(0)


if __name__ == "__main__":
    threading.Thread(target=end_with_parent, daemon=True).start()
    main(sys.argv[1])
