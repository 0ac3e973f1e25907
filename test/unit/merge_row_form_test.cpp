// Values on their way into the table.
#include "merge_support.hpp"
#include "mirror/values/row_form.hpp"

#include <gtest/gtest.h>

using namespace dbnet::mirror;
using dbnet::test::column;

namespace {

Json row_form(ValueType type, const char *column_type, const Json &value) {
    return to_row_form(column("c", "spec.c", Role::spec, type, column_type), value);
}

TEST(RowForm, BytesCrossAsHexadecimal) {
    EXPECT_EQ(row_form(ValueType::string, "bytea", "AAEC/w=="), "\\x000102ff");
    EXPECT_EQ(row_form(ValueType::string, "bytea", ""), "\\x");
    EXPECT_EQ(row_form(ValueType::string, "bytea", "no base64!"), "no base64!");
    EXPECT_EQ(row_form(ValueType::string, "text", "AAEC/w=="), "AAEC/w==");
}

TEST(RowForm, WholeNumbersLoseTheirPoint) {
    EXPECT_EQ(row_form(ValueType::integer, "integer", 3.0).dump(), "3");
    EXPECT_EQ(row_form(ValueType::integer, "integer", 3.5).dump(), "3.5");
}

} // namespace
