"""
Learning in a running daemon.

    retraining           the schedule of attempts, their training, and what becomes of each model
    trainer worker       the supervisor of the training process, and the process     dataset   its training rows
    drift drift_training drift monitoring, with a model in force and without one
    outcomes             predictions whose outcome is pending     calibration   predictions against outcomes
    shadow shadow_watch  what models would have earned, traded or not
    model_store          models on disk        train   training by hand
"""
