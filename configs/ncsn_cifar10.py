"""A noise-conditional score network of CIFAR-10.

Source:    Demon (arXiv 1910.04952), section 5 and appendix A, "NCSN-CIFAR10": 512 epochs, Adam; the
           network and its training are those of Song and Ermon (arXiv 1907.05600): batches of 128,
           which make 200,000 steps, a rate of 1e-3, ten levels of noise from 1 to 0.01, a hundred
           steps at each to draw.
Published: inception score of 50,000 images drawn at the end: Adam 8.15+-.20, Demon Adam 8.07+-.08.
Command:   python -m trainers.ncsn --config=configs/ncsn_cifar10.py --data_dir=DIR
           Demon: --optimizer=demon_adam --momentum_schedule=demon --learning_rate=1e-4
Cost:      not run in full; a GPU is needed. It has 30,117,635 parameters and multiplies 9.9 billion
           times for an image, forward.
Differs:   The weights of an Inception network come with no package: what is drawn is compared with
           test images by their pixels ("frechet"), which says nothing about an inception score.
           With a file of weights of that of `keras.applications`, which is another one than the
           score's: --samples=50000 --config.judge_model=inception_v3 --config.judge_weights=FILE.
           The paper's code adds uniform noise of a grey level to the pixels, enlarges with corners
           aligned, has padding in the means of its pools, and an unbiased variance of the means of
           channels; here it is otherwise.
"""

from ml_collections import ConfigDict

from configs.base import setting
from trainers.options.ncsn import Scores


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        Scores,
        name="ncsn_cifar10",
        dataset="cifar10",
        epochs=512,
        optimizer="adam",
        learning_rate=1e-3,
        schedule="constant",
        l2=0.0,
    )
