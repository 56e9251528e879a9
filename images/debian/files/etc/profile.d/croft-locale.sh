# ssh brings the locale of the user's own machine along. One that isn't installed here would make every program
# complain: then it is C.UTF-8.
if [ -n "$(locale 2>&1 >/dev/null)" ]; then
  unset LC_ALL LC_ADDRESS LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME \
    LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME LANGUAGE
  export LANG=C.UTF-8
fi
