"""How tensors cross between Triton's stub and numpy: the way is chosen once, when a model is loaded.

Under numpy 1.26, ``Tensor.as_numpy()`` and ``Tensor(name, array)`` are right for every type but BF16. Under
numpy 2 (Python 3.13, which has no older one) both are silently wrong, since the stub's pybind11 knows the
older layout of a dtype; DLPack is right both ways, except that it has no strings, no outputs without
elements, and neither strided nor read-only outputs. BF16 always goes by DLPack, as ``uint16`` on our side.

Either way the stub copies an input once when it arrives and an output once when it leaves.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import triton_python_backend_utils as pb  # type: ignore[import-not-found]  # exists in Triton's stub only

from .contract import Refused

Receive = Callable[[Any], Any]
Send = Callable[[str, Any], Any]

NUMPY_2 = int(np.__version__.split(".")[0]) >= 2

# DLDataTypeCode and the offset of DLManagedTensor.dl_tensor.dtype.code (after data, device, ndim), in bytes:
# https://github.com/dmlc/dlpack/blob/v0.8/include/dlpack/dlpack.h
_UINT, _BFLOAT = 1, 4
_DTYPE_CODE_OFFSET = 20

_capsule_pointer = ctypes.pythonapi.PyCapsule_GetPointer
_capsule_pointer.restype, _capsule_pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
_rename_capsule = ctypes.pythonapi.PyCapsule_SetName
_rename_capsule.restype, _rename_capsule.argtypes = ctypes.c_int, [ctypes.py_object, ctypes.c_char_p]
_USED = ctypes.c_char_p(b"used_dltensor")  # kept alive: a capsule does not copy its name


class _Capsule:
    """What ``np.from_dlpack`` wants: an object, where all we have is a capsule."""

    def __init__(self, capsule: Any) -> None:
        self._capsule = capsule

    def __dlpack__(self, **_: Any) -> Any:
        return self._capsule

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)  # kDLCPU


def receivers(names_and_dtypes: Iterable[tuple[str, str]]) -> dict[str, Receive]:
    """Return for each input the function that turns Triton's tensor into an array.

    Raises ``Refused`` for strings under numpy 2.
    """
    return {name: _choose(name, dtype)[0] for name, dtype in names_and_dtypes}


def senders(names_and_dtypes: Iterable[tuple[str, str]]) -> dict[str, Send]:
    """Return for each output the function that turns its name and an array into Triton's tensor.

    Raises ``Refused`` for strings under numpy 2.
    """
    return {name: _choose(name, dtype)[1] for name, dtype in names_and_dtypes}


def _choose(name: str, dtype: str) -> tuple[Receive, Send]:
    if dtype == "BF16":
        return bfloat16_from_dlpack, _send_bfloat16
    if not NUMPY_2:
        return pb.Tensor.as_numpy, pb.Tensor
    if dtype == "BYTES":
        raise Refused(
            f"tensor '{name}' holds strings, which the embedded server cannot move under Python 3.13; "
            "install Python 3.12, 3.11 or 3.10 beside it and it will be used"
        )
    return np.from_dlpack, _send_dlpack


def _send_dlpack(name: str, array: Any) -> Any:
    if not array.size:
        return pb.Tensor(name, array)  # its number of bytes is read wrong, as 0: right here
    return _from_capsule(name, np.require(array, requirements=("C", "W")).__dlpack__())


def _from_capsule(name: str, capsule: Any) -> Any:
    tensor = pb.Tensor.from_dlpack(name, capsule)
    # The stub renames a used capsule "used_dlpack"; the standard's name is another, and numpy logs an error
    # for each capsule that it finds neither used nor its own.
    _rename_capsule(capsule, _USED)
    return tensor


def bfloat16_from_dlpack(tensor: Any) -> Any:
    """Return a BF16 tensor's bits as a ``uint16`` array: numpy has no such type."""
    capsule = tensor.__dlpack__()
    _set_dtype_code(capsule, _UINT)
    return np.from_dlpack(_Capsule(capsule))


def _send_bfloat16(name: str, array: Any) -> Any:
    capsule = np.require(array, requirements=("C", "W")).__dlpack__()
    _set_dtype_code(capsule, _BFLOAT)
    return _from_capsule(name, capsule)


def _set_dtype_code(capsule: Any, code: int) -> None:
    pointer = _capsule_pointer(capsule, b"dltensor")
    ctypes.c_uint8.from_address(pointer + _DTYPE_CODE_OFFSET).value = code
