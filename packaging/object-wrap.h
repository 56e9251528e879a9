// For the addons that are built here (CXXFLAGS="-include …"). In Node 24, an object whose class derives from
// node::ObjectWrap, such as ssh2's ciphers, aborts the process if it is collected while no context is entered: its
// destructor removes a hook of the environment, which is then unknown ("Assertion failed: (env) != nullptr"). Nan's
// class does the same without a hook.
#if defined(__cplusplus) && __has_include(<nan.h>)
#include <node_object_wrap.h>
#include <nan.h>
#define ObjectWrap Nan::ObjectWrap
#endif
