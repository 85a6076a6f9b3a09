"""
Learning while trading.

    retraining           when an attempt is due, who makes it, and what becomes of its model
    trainer worker       the process that trains, and who follows it     dataset   what it learns from
    drift drift_training the watch on drift, with a model in force and without one
    outcomes             predictions until their outcome is known     calibration   what was said against what came
    shadow shadow_watch  what models would have earned, traded or not
    model_store          models on disk        train   training by hand
"""
