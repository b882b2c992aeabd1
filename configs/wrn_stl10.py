"""Wide ResNet 16-8 on STL-10.

Source:    REX (arXiv 2107.04197), table 5, "WRN-STL10", SGDM; shared with Demon (arXiv 1910.04952),
           table 3. Budgets there: 1, 5, 10, 25, 50 and 100 % of 200 epochs, batches of 64.
Published: test error in % at these budgets, three trials each:
           REX    55.93+-.46  34.50+-.16  25.52+-.17 20.54+-.32 16.97+-.46 14.60+-.31
           Linear 58.74+-1.26 34.81+-.40  28.17+-.64 19.54+-.20 17.39+-.24 14.58+-.18
           Cosine 57.81+-1.05 37.42+-.29  27.51+-.25 20.03+-.26 17.02+-.24 14.66+-.25
           Step   60.09+-1.15 38.12+-.32  33.86+-.10 22.42+-.56 17.20+-.35 14.51+-.26
           Demon SGDM (25, 50 and 100 %): 20.23+-.31 16.19+-.23 14.44+-.53; the column is headed
           300 there, and its numbers are those of 200 epochs.
Command:   python -m trainers.stl10 --config=configs/wrn_stl10.py --data_dir=DIR --budget=0.05
Cost:      not measured in full; a GPU is needed.
Differs:   The papers tune the learning rate in multiples of 3 for each schedule and budget and do
           not print it, nor the weight decay, nor the augmentation: 0.1 and 5e-4 are Zagoruyko and
           Komodakis' (arXiv 1605.07146), shifts by 12 pixels DeVries and Taylor's (1708.04552).
"""

from ml_collections import ConfigDict

from configs.base import setting


def get_config() -> ConfigDict:
    """Return the setting."""
    return setting(
        name="wrn_stl10",
        dataset="stl10",
        model="wide_resnet16_8",
        epochs=200,
        batch_size=64,
        l2=5e-4,
    )
