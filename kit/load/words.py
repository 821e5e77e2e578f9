"""A load in words."""

from __future__ import annotations

from kit.load import arrivals, protocols
from kit.load.values import Plan


def load(plan: Plan) -> str:
    """Return what is sent, in a phrase."""
    phases = plan.profile.phases
    first, last = phases[0].first, phases[-1].last
    amount = f"{first:g}" if first == last and plan.profile.peak == first else f"{first:g} to {plan.profile.peak:g}"
    title = protocols.get(plan.protocol).title
    batches = sorted({share.batch for share in plan.models})
    frames = f" of {batches[0]}" if batches != [1] else ""
    if plan.arrivals is None:
        return f"{amount} users by {title} (closed loop)" + (f", requests{frames}" if frames else "")
    if arrivals.get(plan.arrivals).of_cameras:
        cameras = "1 camera" if plan.scene.cameras == 1 else f"{plan.scene.cameras} cameras"
        return f"{cameras} of {first / plan.scene.cameras:g} frames a second by {title}"
    return f"{amount} requests{frames} a second by {title} ({plan.arrivals} arrivals)"
