"""Networks trained on ImageNet, without their tops: those of systems C and E (2024), and three more.

Each takes raw 0–255 pixels and does its own preprocessing, inside the model. (System C fed raw pixels to all of them.)
"""
