package main

import "os"

// fullCampaign asks for the long form of the campaign tests.
func fullCampaign() bool { return os.Getenv("RESCREEN_CAMPAIGN") == "full" }
