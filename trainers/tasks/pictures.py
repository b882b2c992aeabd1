"""Pictures that tasks show: images side by side, with words and boxes."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

__all__ = ["boxed", "captioned", "gallery", "plane"]

_GAP = 2
# Smaller images are enlarged to be seen.
_SEEN_SIDE = 48
# Sizes of what is read, in pixels.
_LEAST_SIDE = 112
_LETTERS = 12
_BOXED_SIDE = 240
_PLANE_SIDE, _LEGEND_WIDTH, _POINT = 480, 160, 3
# Colours that are told apart with any sight, by P. Tol, and again from the first one on.
_COLOURS = (
    *("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377"),
    *("#bbbbbb", "#000000", "#ee8866", "#99ddff", "#ffaabb", "#44bb99"),
)


def gallery(images: np.ndarray, columns: int) -> np.ndarray:
    """Return one picture of many; small ones are enlarged.

    Args:
        images: In [0, 1], of shape `(n, height, width, channels)` with 1 or 3 channels, n at least
            1; numbers beyond are cut off.
        columns: How many stand in a row.

    Returns:
        uint8 of shape `(height, width, channels)`, white between the images.
    """
    times = math.ceil(_SEEN_SIDE / min(images.shape[1:3]))
    images = images.repeat(times, axis=1).repeat(times, axis=2)
    count, height, width, channels = images.shape
    rows = math.ceil(count / columns)
    shape = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, channels)
    picture = np.full(shape, 255, np.uint8)
    for index, image in enumerate(np.rint(255.0 * np.clip(images, 0.0, 1.0)).astype(np.uint8)):
        row, column = divmod(index, columns)
        top, left = row * (height + _GAP), column * (width + _GAP)
        picture[top : top + height, left : left + width] = image
    return picture


def captioned(images: np.ndarray, captions: Sequence[Sequence[str]], columns: int) -> np.ndarray:
    """Return one picture of many, with lines of words below each; small ones are enlarged.

    Args:
        images: As for `gallery`.
        captions: The lines of each image, as many for all.
        columns: How many stand in a row.

    Returns:
        uint8 of shape `(height, width, 3)`.
    """
    _, height, width, _ = images.shape
    times = max(1, math.ceil(_LEAST_SIDE / min(height, width)))
    font = PIL.ImageFont.load_default(_LETTERS)
    below = math.ceil(1.3 * _LETTERS) * len(captions[0])
    made = []
    for image, lines in zip(images, captions, strict=True):
        pixels = np.rint(255.0 * np.clip(image, 0.0, 1.0)).astype(np.uint8)
        pixels = np.broadcast_to(pixels, (height, width, 3)).repeat(times, 0).repeat(times, 1)
        sheet = PIL.Image.new("RGB", (times * width, times * height + below), "white")
        sheet.paste(PIL.Image.fromarray(pixels))
        words = PIL.ImageDraw.Draw(sheet)
        words.multiline_text((2, times * height), "\n".join(lines), "black", font, spacing=2)
        made.append(np.asarray(sheet) / 255.0)
    return gallery(np.stack(made), columns)


def boxed(
    image: np.ndarray, truth: np.ndarray, found: np.ndarray, words: Sequence[str]
) -> np.ndarray:
    """Return an image with boxes: what is there in green, what was found in red, with words.

    Args:
        image: uint8 of shape `(height, width, 3)`; a small one is enlarged.
        truth: Boxes (top, left, bottom, right) as shares of height and width.
        found: Likewise.
        words: Of each box that was found.

    Returns:
        uint8 of shape `(height, width, 3)`.
    """
    times = math.ceil(_BOXED_SIDE / min(image.shape[:2]))
    sheet = PIL.Image.fromarray(image.repeat(times, 0).repeat(times, 1))
    draw, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(_LETTERS)
    for boxes, colour in ((truth, "lime"), (found, "red")):
        for top, left, bottom, right in boxes:
            corners = (left * sheet.width, top * sheet.height)
            others = (right * sheet.width - 1, bottom * sheet.height - 1)
            draw.rectangle(
                (*corners, *(max(p) for p in zip(corners, others, strict=True))), None, colour
            )
    for (top, left, *_), text in zip(found, words, strict=True):
        place = (left * sheet.width + 2, top * sheet.height)
        draw.text(place, text, "red", font, stroke_width=2, stroke_fill="white")
    return np.asarray(sheet)


def plane(points: np.ndarray, labels: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return points in the plane in which they differ most, in the colours of their classes.

    Args:
        points: Of shape `(n, numbers)`, n at least 1.
        labels: Their classes, of shape `(n,)`.
        names: What classes are called.

    Returns:
        uint8 of shape `(height, width, 3)`: the first two principal components, and a legend.
    """
    centred = points.astype(np.float64) - points.mean(axis=0)
    _, _, axes = np.linalg.svd(centred.T @ centred)
    found = np.zeros((len(points), 2))
    found[:, : min(2, len(axes))] = centred @ axes[:2].T
    low, high = found.min(axis=0), found.max(axis=0)
    room = _PLANE_SIDE - 4 * _POINT
    shares = (found - low) / np.where(high > low, high - low, 1.0)
    places = 2 * _POINT + room * np.where(high > low, shares, 0.5)
    sheet = PIL.Image.new("RGB", (_PLANE_SIDE + _LEGEND_WIDTH, _PLANE_SIDE), "white")
    draw, font = PIL.ImageDraw.Draw(sheet), PIL.ImageFont.load_default(_LETTERS)

    def dot(x: float, y: float, label: int) -> None:
        colour = _COLOURS[label % len(_COLOURS)]
        draw.ellipse((x - _POINT, y - _POINT, x + _POINT, y + _POINT), colour)

    for (x, y), label in zip(places, labels, strict=True):
        dot(x, _PLANE_SIDE - y, int(label))
    rows = _PLANE_SIDE // (2 * _LETTERS)
    for row, label in enumerate(np.unique(labels)[:rows]):
        y = (row + 0.75) * 2 * _LETTERS
        dot(_PLANE_SIDE + _LETTERS, y, int(label))
        draw.text((_PLANE_SIDE + 2 * _LETTERS, y - 0.6 * _LETTERS), names[label], "black", font)
    return np.asarray(sheet)
