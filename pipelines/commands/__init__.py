"""What the command line does, one subject per file; whatever is heavy is imported inside a command.

options     arguments and options that several commands take, and what they come to: a recipe that is started
work        one command per stage, and run, import
launch      a stage elsewhere
look        plan, calibrate, lineage, report, inspect: nothing is made
hub         the embedded Hub and its folder
github      what the workflows ask
"""
