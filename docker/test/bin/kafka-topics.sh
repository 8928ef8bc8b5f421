#!/bin/sh
# --bootstrap-server B --create --if-not-exists --topic T ...: asking for it creates it.
exec kcat -L -b "$2" -t "$6"
