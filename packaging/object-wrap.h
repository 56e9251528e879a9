// For the addons that are built here (CXXFLAGS="-include …"). What derives from node::ObjectWrap, as ssh2's ciphers do, ends
// the process with Node 24 when it is collected while no context is entered: its destructor takes back a hook of the
// environment, which is not known then ("Assertion failed: (env) != nullptr"). Nan's own is the same without a hook.
#if defined(__cplusplus) && __has_include(<nan.h>)
#include <node_object_wrap.h>
#include <nan.h>
#define ObjectWrap Nan::ObjectWrap
#endif
