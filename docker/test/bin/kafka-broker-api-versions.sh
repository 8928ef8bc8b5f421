#!/bin/sh
exec kcat -L -b "$2" -m 5
