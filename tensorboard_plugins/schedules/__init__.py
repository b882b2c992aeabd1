"""The "Schedules" dashboard: what is logged for it, and what shows it.

Nothing here imports Keras or TensorFlow: TensorBoard starts as fast with the dashboard as without.
"""
