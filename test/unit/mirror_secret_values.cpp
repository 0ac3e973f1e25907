// Digests in place of the values of Secrets.
#include "mirror/values/secret_values.hpp"

#include "mirror/decision/observed.hpp"

#include <gtest/gtest.h>

namespace dbnet::mirror {
namespace {

Json hidden(const char *text, std::string_view key = "key") {
    Json object = Json::parse(text);
    hide_secret_values(object, key);
    return object;
}

constexpr char secret[] = R"({"metadata": {"name": "db", "namespace": "shop"}, "data": {"password": "czNjcjN0"}})";

} // namespace

// printf 'shop\0db\0password\0czNjcjN0' | openssl dgst -sha256 -hmac key
TEST(SecretValues, DigestIsHmacOfPlaceAndValue) {
    EXPECT_EQ(hidden(secret)["data"]["password"],
              "hmac-sha256:6a921bc7c4d857d9109a7bb1125acfb5ee5fb6788740b44b33aab2c48e78a5b6");
}

TEST(SecretValues, DigestDependsOnKeyPlaceAndValue) {
    const Json digest = hidden(secret)["data"]["password"];
    EXPECT_NE(hidden(secret, "other")["data"]["password"], digest);
    for (const char *other : {R"({"metadata": {"name": "db", "namespace": "x"}, "data": {"password": "czNjcjN0"}})",
                              R"({"metadata": {"name": "x", "namespace": "shop"}, "data": {"password": "czNjcjN0"}})",
                              R"({"metadata": {"name": "db", "namespace": "shop"}, "data": {"password": "eA=="}})"})
        EXPECT_NE(hidden(other)["data"]["password"], digest);
}

TEST(SecretValues, NothingIsLeftOfValues) {
    EXPECT_EQ(hidden(R"({"metadata": {"name": "db"}, "type": "Opaque"})"),
              Json::parse(R"({"metadata": {"name": "db"}, "type": "Opaque"})"));
    EXPECT_EQ(hidden(R"({"metadata": {"name": "db"}, "data": null})")["data"], nullptr);
    EXPECT_FALSE(hidden(R"({"metadata": {"name": "db"}, "data": "czNjcjN0"})").contains("data"));
    const Json strange = hidden(R"({"metadata": {"name": "db"}, "data": {"a": {"b": "czNjcjN0"}},
                                    "stringData": {"c": "czNjcjN0"}})");
    EXPECT_EQ(strange.dump().find("czNjcjN0"), std::string::npos);
    EXPECT_TRUE(strange["data"]["a"].is_string());
}

TEST(SecretValues, CopyInAnAnnotationGoesAltogether) {
    EXPECT_EQ(hidden(R"({"metadata": {"name": "db", "annotations": {"a": "1",
                         "kubectl.kubernetes.io/last-applied-configuration": "{\"data\":{}}"}}})")["metadata"],
              Json::parse(R"({"name": "db", "annotations": {"a": "1"}})"));
}

TEST(SecretValues, ObservedObjectHasDigestsInValuesAndBody) {
    Mapping mapping;
    mapping.digest_key = "key";
    Column column;
    column.name = column.path = "data";
    column.field = kubernetes::FieldPath::parse("data");
    column.role = Role::status;
    column.type = ValueType::json;
    mapping.columns.push_back(column);
    const Observed seen = observe(Json::parse(secret), secret, mapping, "m");
    EXPECT_EQ(seen.values.at("data"), hidden(secret)["data"]);
    EXPECT_EQ(Json::parse(seen.live), hidden(secret));
}

TEST(SecretValues, MessagesRepeatNothingOfASecret) {
    Column column;
    column.name = column.path = "data";
    column.type = ValueType::json;
    column.column_type = "text";
    column.is_secret = true;
    const auto failure = std::get<ValueError>(to_object_form(column, "czNjcjN0"));
    EXPECT_EQ(failure.message, "column \"data\" (data): the value is none that the field takes");
}

} // namespace dbnet::mirror
