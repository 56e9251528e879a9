// Loads what is built for one kind of machine: fails where this app can't run.
import 'ffi-napi'
