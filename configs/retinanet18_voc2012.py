"""RetinaNet on a ResNet-18, on Pascal VOC 2012, with cyclic precision.

Source:    Wolfe and Kyrillidis, "Better Schedules for Low Precision Training" (arXiv 2403.02243),
           released scripts: Adam at a rate of 3e-6, batches of 2, 120 epochs, gradients of a norm
           of at most 0.1; 5-8 bits forward and 8 backward, or 5-6 and 6, in every convolution; a
           ResNet trained on ImageNet whose batch normalisation is frozen. RetinaNet:
           arXiv 1708.02002.
Published: the tables were not at hand.
Command:   python -m trainers.detection --config=configs/retinanet18_voc2012.py --data_dir=DIR
             --backbone_weights=DIR/resnet_18_imagenet.weights.h5
           It needs keras-hub: pip install -e '.[trainers,hub]'
           Data and weights: python -m trainers.fetch voc2012 --data_dir=DIR
                             python -m trainers.fetch resnet_18_imagenet --data_dir=DIR
           Others: --precision_schedule=lr|rr|er|lt|ct|rtv|rth|etv|eth, or cpt;
           5-6 bits: --bits_max=6 --gradient_bits=6;
           the baseline: --precision_schedule=static --bits_max=8
Cost:      not run in full; a GPU is needed. It has 20,165,400 parameters and multiplies 77
           billion times for an image, forward.
Differs:   Without --backbone_weights the ResNet begins at random and its batch normalisation is
           trained; with them scales and offsets are frozen too, where theirs are trained. Our
           choice are images of 608x800 (theirs keep their shape, with a shorter side of 608),
           training on "train" and testing on "val", a constant rate, no weight decay, what of an
           image is trained on (as `configs/yolov3_voc.py`), and how new convolutions begin: as in
           the paper of RetinaNet. As there, evaluation is at the current bits and the figure is
           the best over training.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.detection import Detector


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Detector,
        name="retinanet18_voc2012",
        dataset="voc2012",
        height=608,
        width=800,
        model="retinanet18",
        epochs=120,
        batch_size=2,
        optimizer="adam",
        learning_rate=3e-6,
        schedule="constant",
        clip_norm=0.1,
        l2=0.0,
        precision_schedule="cr",
        bits_min=5,
        quantized_layers="all",
        evaluation_bits="current",
        evaluate_every=5,
    )
