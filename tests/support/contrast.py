"""How well a colour can be seen on a ground."""

import matplotlib as mpl
import numpy as np


def contrast_ratio(colour: str, ground: str) -> float:
    """WCAG 2 contrast of two colours, 1 to 21; text wants 4.5, large text and graphics 3."""

    def luminance(name: str) -> float:
        rgb = np.asarray(mpl.colors.to_rgb(name))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(colour), luminance(ground)))
    return (high + 0.05) / (low + 0.05)
