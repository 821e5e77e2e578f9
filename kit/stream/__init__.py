"""The camera client library: frames from any camera to detections, always the newest, nothing lost uncounted."""
