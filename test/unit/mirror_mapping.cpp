// Values between row form and object form, and equality in meaning.
#include "mirror/values/mapping.hpp"

#include <gtest/gtest.h>

#include "kubernetes/instant.hpp"

using namespace dbnet::mirror;
using dbnet::kubernetes::format_instant;
using dbnet::kubernetes::parse_instant;

namespace {

Column column(ValueType type, const std::string &column_type = "text", const std::string &format = "") {
    Column result;
    result.name = "c";
    result.path = "spec.f";
    result.field = dbnet::kubernetes::FieldPath::parse(result.path);
    result.type = type;
    result.column_type = column_type;
    result.format = format;
    return result;
}

// The object form as JSON text, "NULL" for none, or the error's message.
std::string converted(const Column &column, const char *row_json) {
    const auto result = to_object_form(column, Json::parse(row_json));
    if (const auto *error = std::get_if<ValueError>(&result)) {
        EXPECT_EQ(error->column, "c");
        EXPECT_EQ(error->path, "spec.f");
        return error->message;
    }
    const auto &value = std::get<std::optional<Json>>(result);
    return value ? value->dump() : "NULL";
}

struct Case {
    Column column;
    const char *row;
    const char *expected;
};

bool same(ValueType type, const char *left, const char *right) {
    const Json left_value = Json::parse(left), right_value = Json::parse(right);
    return same_value(column(type), &left_value, &right_value);
}

bool effect(ValueType type, const char *wanted, const char *live) {
    const Json wanted_value = Json::parse(wanted), live_value = Json::parse(live);
    return has_effect(column(type), &wanted_value, &live_value);
}

} // namespace

TEST(Mapping, ConvertsRowValues) {
    const std::string c = "column \"c\" (spec.f): ";
    const Case cases[] = {
        {column(ValueType::string), "null", "NULL"},
        {column(ValueType::string), R"("a b")", R"("a b")"},
        {column(ValueType::string), R"("")", R"("")"},
        {column(ValueType::string, "integer"), "5", R"("5")"},
        {column(ValueType::string, "boolean"), "true", R"("true")"},
        {column(ValueType::string, "bytea", "byte"), R"("\\x")", R"("")"},
        {column(ValueType::string, "bytea", "byte"), R"("\\x00")", R"("AA==")"},
        {column(ValueType::string, "bytea", "byte"), R"("\\x666f")", R"("Zm8=")"},
        {column(ValueType::string, "bytea", "byte"), R"("\\x666f6f")", R"("Zm9v")"},
        {column(ValueType::string, "bytea", "byte"), R"("\\xfffefd00")", R"("//79AA==")"},
        {column(ValueType::integer, "integer"), "-7", "-7"},
        {column(ValueType::integer, "bigint", "int64"), "9223372036854775807", "9223372036854775807"},
        {column(ValueType::integer, "bigint", "int64"), "-9223372036854775808", "-9223372036854775808"},
        {column(ValueType::integer, "bigint", "int32"), "2147483647", "2147483647"},
        {column(ValueType::integer, "bigint", "int32"), "-2147483648", "-2147483648"},
        {column(ValueType::integer, "numeric"), "3.0", "3"},
        {column(ValueType::integer, "text"), R"("42")", "42"},
        {column(ValueType::number, "double precision"), "0.5", "0.5"},
        {column(ValueType::number, "text"), R"("2.5")", "2.5"},
        {column(ValueType::boolean, "boolean"), "false", "false"},
        {column(ValueType::boolean, "text"), R"("true")", "true"},
        {column(ValueType::json, "jsonb"), R"({"a":null,"b":{"c":null,"d":[{"e":null,"f":1}]}})",
         R"({"b":{"d":[{"f":1}]}})"},
        {column(ValueType::json, "jsonb"), R"("text")", R"("text")"},
        {column(ValueType::json, "text"), R"("[1, 2]")", "[1,2]"},
        {column(ValueType::json, "text"), R"("null")", "NULL"},
        {column(ValueType::time, "timestamp with time zone"), R"("2026-11-23T08:44:46.987654+00:00")",
         R"("2026-11-23T08:44:46Z")"},
        {column(ValueType::time, "timestamp with time zone", "micro-time"), R"("2026-11-23T08:44:46.98+00:00")",
         R"("2026-11-23T08:44:46.980000Z")"},
        {column(ValueType::time, "timestamp with time zone"), R"("2026-11-23T10:14:46+01:30")",
         R"("2026-11-23T08:44:46Z")"},
        {column(ValueType::time, "date"), R"("2026-02-28")", R"("2026-02-28T00:00:00Z")"},
        {column(ValueType::quantity), R"("1.5Gi")", R"("1.5Gi")"},
        {column(ValueType::quantity, "numeric"), "2", R"("2")"},
        {column(ValueType::int_or_string), R"("80")", "80"},
        {column(ValueType::int_or_string), R"("http")", R"("http")"},
        {column(ValueType::int_or_string), R"("25%")", R"("25%")"},
        {column(ValueType::int_or_string, "jsonb"), "80", "80"},
        {column(ValueType::int_or_string, "jsonb"), R"("80")", R"("80")"},
    };
    for (const Case &test : cases)
        EXPECT_EQ(converted(test.column, test.row), test.expected) << test.row << " as " << to_text(test.column.type);

    const std::pair<Case, const char *> refused[] = {
        {{column(ValueType::string, "jsonb"), "[1]", ""}, "the field takes text, not [1]"},
        {{column(ValueType::integer, "bigint", "int32"), "2147483648", ""},
         "2147483648 is out of range for a 32-bit field"},
        {{column(ValueType::integer, "bigint", "int32"), "4294967376", ""},
         "4294967376 is out of range for a 32-bit field"},
        {{column(ValueType::integer, "bigint", "int32"), "-2147483649", ""},
         "-2147483649 is out of range for a 32-bit field"},
        {{column(ValueType::integer, "numeric"), "9223372036854775808", ""},
         "9223372036854775808 is not a whole number of 64 bits"},
        {{column(ValueType::integer, "numeric"), "3.5", ""}, "3.5 is not a whole number of 64 bits"},
        {{column(ValueType::integer), R"("x")", ""}, R"("x" is not a whole number)"},
        {{column(ValueType::integer), R"("")", ""}, R"("" is not a whole number)"},
        {{column(ValueType::integer), "true", ""}, "true is not a whole number"},
        {{column(ValueType::number, "double precision"), R"("NaN")", ""}, R"("NaN" is not a finite number)"},
        {{column(ValueType::number, "double precision"), R"("Infinity")", ""}, R"("Infinity" is not a finite number)"},
        {{column(ValueType::boolean), R"("yes")", ""}, R"("yes" is not a boolean)"},
        {{column(ValueType::boolean, "integer"), "1", ""}, "1 is not a boolean"},
        {{column(ValueType::json), R"("{")", ""}, R"("{" is not JSON)"},
        {{column(ValueType::time), R"("infinity")", ""}, R"("infinity" is not a time between the years 0001 and 9999)"},
        {{column(ValueType::time), R"("12026-01-01")", ""},
         R"("12026-01-01" is not a time between the years 0001 and 9999)"},
        {{column(ValueType::time), "1", ""}, "1 is not a time between the years 0001 and 9999"},
        {{column(ValueType::quantity), R"("1 GB")", ""}, R"("1 GB" is not a quantity)"},
        {{column(ValueType::quantity), "true", ""}, "true is not a quantity"},
        {{column(ValueType::int_or_string, "jsonb"), "1.5", ""}, "1.5 is neither a whole number nor text"},
        {{column(ValueType::int_or_string, "jsonb"), "[]", ""}, "[] is neither a whole number nor text"},
    };
    for (const auto &[test, message] : refused)
        EXPECT_EQ(converted(test.column, test.row), c + message) << test.row << " as " << to_text(test.column.type);
}

TEST(Mapping, CutsLongValuesInMessagesOnACharacterBoundary) {
    std::string text(62, 'x');
    text += "äöü";
    const std::string message = converted(column(ValueType::integer), Json(text).dump().c_str());
    EXPECT_EQ(message, "column \"c\" (spec.f): \"" + text.substr(0, 62) + "... is not a whole number");
}

TEST(Mapping, CollectsAllErrorsAndLeavesOutKeysAndStatus) {
    Mapping mapping;
    const std::pair<const char *, Role> columns[] = {{"metadata.name", Role::key},
                                                     {"spec.a", Role::spec},
                                                     {"spec.b", Role::spec},
                                                     {"metadata.labels", Role::meta},
                                                     {"status.s", Role::status}};
    for (const auto &[path, role] : columns) {
        Column added = column(ValueType::integer, "bigint", "int32");
        added.name = std::string("c_") + path;
        added.path = path;
        added.field = dbnet::kubernetes::FieldPath::parse(path);
        added.role = role;
        if (role == Role::meta)
            added.type = ValueType::json;
        mapping.columns.push_back(added);
    }
    const RowFields row = mapping.to_object_form({{"c_metadata.name", "n"},
                                                  {"c_spec.a", 99999999999},
                                                  {"c_spec.b", "x"},
                                                  {"c_metadata.labels", {{"l", "1"}}},
                                                  {"c_status.s", 4},
                                                  {"local", 5}});
    EXPECT_EQ(row.values, (Fields{{"metadata.labels", {{"l", "1"}}}}));
    ASSERT_EQ(row.errors.size(), 2u);
    EXPECT_EQ(row.errors[0].path, "spec.a");
    EXPECT_EQ(row.errors[1].column, "c_spec.b");

    EXPECT_EQ(
        mapping.from_live(Json::parse(R"({"metadata":{"name":"n","labels":null},"spec":{"a":1},"status":{"s":3}})")),
        (Fields{{"spec.a", 1}, {"status.s", 3}}));
    EXPECT_EQ(mapping.from_live(Json::parse(R"({"spec":{"a":{"b":null,"c":[{"d":null,"e":1}]}}})")),
              (Fields{{"spec.a", {{"c", Json::parse(R"([{"e":1}])")}}}}));
    EXPECT_EQ(mapping.by_name("c_spec.b")->path, "spec.b");
    EXPECT_EQ(mapping.by_path("spec.c"), nullptr);
}

TEST(Mapping, SameValueKnowsTheType) {
    EXPECT_TRUE(same(ValueType::quantity, R"("0.5")", R"("500m")"));
    EXPECT_TRUE(same(ValueType::quantity, R"("1024Mi")", R"("1Gi")"));
    EXPECT_FALSE(same(ValueType::quantity, R"("1Gi")", R"("1G")"));
    EXPECT_FALSE(same(ValueType::string, R"("0.5")", R"("500m")"));
    EXPECT_TRUE(same(ValueType::time, R"("2026-11-23T08:44:46Z")", R"("2026-11-23T09:44:46+01:00")"));
    EXPECT_FALSE(same(ValueType::time, R"("2026-11-23T08:44:46Z")", R"("2026-11-23T08:44:47Z")"));
    EXPECT_TRUE(same(ValueType::number, "1", "1.0"));
    EXPECT_FALSE(same(ValueType::int_or_string, "80", R"("80")"));
    EXPECT_TRUE(same(ValueType::json, R"({"a":1,"b":[1,2]})", R"({"b":[1,2],"a":1})"));
    EXPECT_FALSE(same(ValueType::json, R"({"b":[1,2]})", R"({"b":[2,1]})"));

    const Json null, zero = 0;
    const Column any = column(ValueType::integer);
    EXPECT_TRUE(same_value(any, nullptr, nullptr));
    EXPECT_TRUE(same_value(any, nullptr, &null));
    EXPECT_FALSE(same_value(any, &zero, nullptr));
    EXPECT_FALSE(same_value(any, nullptr, &zero));
}

TEST(Mapping, ZeroValuesAndDefaultsHaveTheWantedEffect) {
    for (const char *zero : {"false", "0", R"("")", "[]", "{}", "null"})
        EXPECT_TRUE(effect(ValueType::json, zero, "null")) << zero;
    for (const char *value : {"true", "1", R"("a")", "[1]", R"({"a":1})"})
        EXPECT_FALSE(effect(ValueType::json, value, "null")) << value;
    EXPECT_TRUE(effect(ValueType::boolean, "false", "null"));
    EXPECT_FALSE(effect(ValueType::boolean, "true", "false"));
    EXPECT_TRUE(effect(ValueType::boolean, "null", "true"));
    // Defaults that the server adds inside.
    EXPECT_TRUE(effect(ValueType::json, R"([{"port":80}])", R"([{"port":80,"protocol":"TCP"}])"));
    EXPECT_TRUE(effect(ValueType::json, R"([{"port":80}])", R"([{"port":1},{"port":80}])"));
    EXPECT_FALSE(effect(ValueType::json, R"([{"port":80},{"port":81}])", R"([{"port":81},{"port":80}])"));
    EXPECT_FALSE(effect(ValueType::json, R"(["a"])", R"(["a","b"])"));
    EXPECT_FALSE(effect(ValueType::json, R"([])", R"(["a"])"));
    EXPECT_FALSE(effect(ValueType::json, R"({"a":1})", R"({"a":2})"));
    EXPECT_TRUE(effect(ValueType::json, R"({"a":0,"b":1})", R"({"b":1,"c":2})"));
    // A quantity deep inside comes back canonical.
    EXPECT_TRUE(effect(ValueType::json, R"({"limits":{"cpu":"0.5"}})", R"({"limits":{"cpu":"500m"}})"));
}

TEST(Mapping, StorableTakesWhatJsonbRefuses) {
    const Json value = {{std::string("k\0x", 3), std::string("\0a\0", 3)}, {"n", {1, std::nan("")}}};
    EXPECT_EQ(storable(value), (Json{{"k\xEF\xBF\xBDx", "\xEF\xBF\xBD"
                                                        "a"
                                                        "\xEF\xBF\xBD"},
                                     {"n", {1, nullptr}}}));
}

TEST(Instant, ReadsAndWrites) {
    EXPECT_EQ(parse_instant("1970-01-01T00:00:00Z"), 0);
    EXPECT_EQ(parse_instant("1969-12-31 23:59:59.5"), -500000);
    EXPECT_EQ(parse_instant("2000-02-29T12:30:15.1234567-02:30"), 951836415123456);
    EXPECT_EQ(parse_instant("2026-11-23"), 1795392000000000);
    EXPECT_EQ(parse_instant("9999-12-31T23:59:60Z"), std::nullopt) << "of a year with five digits";
    EXPECT_EQ(parse_instant("0001-01-01T00:00:00+01:00"), std::nullopt) << "of the year before the first";
    for (const char *text :
         {"", "2026", "2026-13-01", "2026-02-29", "1900-02-29", "0000-01-01", "2026-11-23T", "2026-11-23T25:00:00Z",
          "2026-11-23T08:44:46.Z", "2026-11-23T08:44:46X", "2026-11-23T08:44:46+1", "2026-11-23T08:44:46ZZ", "infinity",
          "-infinity", "0044-03-15T00:00:00+00:00 BC"})
        EXPECT_EQ(parse_instant(text), std::nullopt) << text;
    for (const int64_t at :
         {0L, -500000L, 951836415123456L, 1795392000000000L, -62135596800000000L, 253402300799999999L})
        EXPECT_EQ(parse_instant(format_instant(at, true)), at);
    EXPECT_EQ(format_instant(-500000, false), "1969-12-31T23:59:59Z");
}
