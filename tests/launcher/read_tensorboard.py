"""Prints as JSON what the real TensorBoard reads from a folder of event files: python3 read_tensorboard.py FOLDER

Two of its readers are asked: the one for programs (scalars, histograms, images, texts: lists of [step, value] a tag) and
that of its web server without the fast loader (server_steps: the steps a tag is shown at). They differ in what they drop
when a run was resumed.
"""
import io
import json
import logging
import math
import sys

from PIL import Image
from tensorboard.backend.event_processing import event_accumulator, plugin_event_accumulator
from tensorboard.util import tensor_util

KINDS = ("scalars", "histograms", "images", "tensors", "compressedHistograms", "audio")


def number(value):
    """JSON has no words for what is not finite."""
    return value if math.isfinite(value) else str(value)


def histogram(value):
    return {"min": value.min, "max": value.max, "num": value.num, "sum": value.sum, "sum_squares": value.sum_squares,
            "limits": list(value.bucket_limit), "counts": list(value.bucket)}


def image(event):
    picture = Image.open(io.BytesIO(event.encoded_image_string))
    return {"width": event.width, "height": event.height, "mode": picture.mode, "size": list(picture.size),
            "pixels": picture.tobytes().hex()}


def read(folder):
    everything = {kind: 0 for kind in KINDS}
    events = event_accumulator.EventAccumulator(folder, size_guidance=everything).Reload()
    server = plugin_event_accumulator.EventAccumulator(folder, size_guidance={"tensors": 0}).Reload()
    tags = events.Tags()
    return {
        "scalars": {tag: [[e.step, number(e.value)] for e in events.Scalars(tag)] for tag in tags["scalars"]},
        "histograms": {tag: [[e.step, histogram(e.histogram_value)] for e in events.Histograms(tag)]
                       for tag in tags["histograms"]},
        "images": {tag: [[e.step, image(e)] for e in events.Images(tag)] for tag in tags["images"]},
        "texts": {tag: [[e.step, tensor_util.make_ndarray(e.tensor_proto).item().decode()] for e in events.Tensors(tag)]
                  for tag in tags["tensors"]},
        "server_steps": {tag: [e.step for e in server.Tensors(tag)] for tag in server.Tags()["tensors"]},
    }


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    print(json.dumps(read(sys.argv[1])))
