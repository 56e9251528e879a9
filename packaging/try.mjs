// Loads the native addons, which are built for one kind of machine: fails on a box on which this app can't run.
import 'ffi-napi'
