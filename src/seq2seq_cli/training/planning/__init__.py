"""The plan of a run: whether it begins or continues, and its complete settings.

To read it, begin with `resuming`.

- `run_plan`: how a run is to be trained, before its text is read
- `languages`: the languages that its text is marked with
- `new_run`: the plan of a run that begins
- `continued_run`: the plan of a run that continues
- `resuming`: whether a run begins or continues
- `auto_planner`: the preset auto: settings by the text, and a schedule that fits into the limits
- `completion`: settings that are chosen by the text, the device and the model
"""
