# cmake -DIN=FILE -DOUT=FILE.c -DNAME=SYMBOL -P embed.cmake: a file as `const struct slice SYMBOL`.
file(READ ${IN} bytes HEX)
string(LENGTH "${bytes}" length)
math(EXPR length "${length} / 2")
string(REGEX REPLACE "(................................)" "\\1\n    " bytes "${bytes}")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
file(WRITE ${OUT} "#include \"common/slice.h\"

static const unsigned char bytes[] = {
    ${bytes}0x00};

extern const struct slice ${NAME};
const struct slice ${NAME} = {(const char *)bytes, ${length}};
")
