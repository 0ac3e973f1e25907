// Pure parts of the client API: routes and their document, statuses of SQLSTATEs, error bodies, messages between
// processes.
#include "gateway/client_api/api_error.hpp"
#include "gateway/client_api/api_message.hpp"
#include "gateway/client_api/api_routes.hpp"
#include "gateway/http/request_headers.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <set>

namespace dbnet::gateway {
namespace {

using nlohmann::json;

TEST(ClientApiRoutes, FindsAMethodAndNamesTheOthers) {
    std::string allowed;
    const int place = find_route("POST", "/api/v1/query", allowed);
    ASSERT_GE(place, 0);
    EXPECT_EQ(api_routes()[place].action, ApiAction::query);
    EXPECT_EQ(allowed, "");
    EXPECT_EQ(find_route("PUT", "/api/v1/tables", allowed), -2);
    EXPECT_EQ(allowed, "GET, POST");
    EXPECT_EQ(find_route("GET", "/api/v1/query", allowed), -2);
    EXPECT_EQ(allowed, "POST");
    EXPECT_EQ(find_route("GET", "/api/v1/tables/", allowed), -1);
    EXPECT_EQ(find_route("get", "/api/v1/tables", allowed), -2);
    EXPECT_EQ(find_route("GET", "", allowed), -1);
}

// Every reference leads somewhere: what a reader of OpenAPI checks first.
void check_references(const json &value, const json &document) {
    if (value.is_object())
        for (const auto &[name, member] : value.items())
            if (name == "$ref" && member.is_string())
                EXPECT_TRUE(document.contains(json::json_pointer(member.get<std::string>().substr(1)))) << member;
            else
                check_references(member, document);
    else if (value.is_array())
        for (const json &element : value)
            check_references(element, document);
}

TEST(ClientApiRoutes, TheDocumentIsWholeAndHasEveryRoute) {
    const json document = json::parse(openapi_document("0.1"));
    EXPECT_EQ(document["openapi"], "3.1.0");
    EXPECT_EQ(document["info"]["version"], "0.1");
    check_references(document, document);
    size_t operations = 0;
    std::set<std::string> names;
    for (const auto &[path, methods] : document["paths"].items())
        for (const auto &[method, operation] : methods.items()) {
            ++operations;
            EXPECT_TRUE(names.insert(operation["operationId"]).second) << operation["operationId"];
            EXPECT_TRUE(operation["responses"].is_object() && !operation["responses"].empty()) << path << " " << method;
            EXPECT_EQ(operation.contains("requestBody"), method == "post") << path;
        }
    EXPECT_EQ(operations, api_routes().size());
    const json &table =
        document["paths"]["/api/v1/tables"]["post"]["requestBody"]["content"]["application/json"]["schema"];
    EXPECT_EQ(table["required"], json({"name", "columns"}));
    EXPECT_EQ(table["additionalProperties"], false);
    EXPECT_EQ(document["paths"]["/api/v1/openapi.json"]["get"]["security"], json::array());
    EXPECT_EQ(document["security"], json::parse(R"([{"token": []}])"));
}

TEST(ClientApiError, StatusOfAnSqlstate) {
    const std::pair<const char *, int> expected[] = {
        {"23505", 409}, {"23503", 409}, {"23502", 400}, {"23514", 400}, {"25006", 403}, {"25001", 400}, {"28000", 403},
        {"40001", 503}, {"40P01", 503}, {"42501", 403}, {"42601", 400}, {"42P01", 404}, {"42883", 404}, {"42P17", 400},
        {"2D000", 400}, {"42P07", 409}, {"42725", 400}, {"53300", 503}, {"54000", 400}, {"55000", 409}, {"55P03", 503},
        {"57014", 504}, {"57P01", 503}, {"22P02", 400}, {"P0001", 400}, {"XX000", 500}, {"PT402", 402}, {"PT200", 500},
        {"PT999", 500}, {"PT4x2", 500}, {"", 400},      {"4", 400}};
    for (const auto &[sqlstate, status] : expected)
        EXPECT_EQ(http_status(sqlstate), status) << sqlstate;
}

TEST(ClientApiError, BodyHasWhatIsKnown) {
    ApiError error;
    error.message = "no";
    EXPECT_EQ(error_body(error), "{\"error\":{\"message\":\"no\"}}\n");
    error.sqlstate = "42P01";
    error.hint = "a \"b\"\n";
    error.position = 7;
    EXPECT_EQ(error_body(error),
              "{\"error\":{\"sqlstate\":\"42P01\",\"message\":\"no\",\"hint\":\"a \\\"b\\\"\\n\",\"position\":7}}\n");
    error.message = "not UTF-8: \xff";
    EXPECT_EQ(json::parse(error_body(error))["error"]["message"], "not UTF-8: \xEF\xBF\xBD");
}

TEST(ClientApiHeaders, AreTakenApart) {
    EXPECT_EQ(bearer_token("Bearer abc"), "abc");
    EXPECT_EQ(bearer_token("bEARER   a b \t"), "a b");
    for (const char *other : {"", "Bearer", "Bearer ", "Bearer \t ", "Basic abc", "Bearerabc", " Bearer abc"})
        EXPECT_FALSE(bearer_token(other)) << other;
    for (const char *type : {"application/json", "Application/JSON;charset=utf-8", " application/json ; a=b"})
        EXPECT_TRUE(is_json_type(type)) << type;
    for (const char *type : {"", ";", "application/jsonx", "application/json,text/csv", "text/json"})
        EXPECT_FALSE(is_json_type(type)) << type;
    for (const char *accept : {"text/csv", "text/html, TEXT/CSV;q=1", "text/csv, application/json"})
        EXPECT_TRUE(prefers_csv(accept)) << accept;
    for (const char *accept : {"", "*/*", "application/json, text/csv", "text/csvx", ",,,", "text/html"})
        EXPECT_FALSE(prefers_csv(accept)) << accept;
}

TEST(ClientApiMessage, ComesBackAsItWas) {
    ApiRequest request;
    request.route = 3;
    request.wants_csv = true;
    request.client = "::1";
    request.token = "ci";
    request.traceparent = "00-…";
    request.schema = "net";
    request.body = std::string("{\0}", 3);
    const std::string bytes = request.to_bytes();
    const auto read = ApiRequest::from_bytes(bytes);
    ASSERT_TRUE(read);
    EXPECT_EQ(read->route, 3u);
    EXPECT_TRUE(read->wants_csv);
    EXPECT_EQ(read->client + read->token + read->traceparent + read->schema, "::1ci00-…net");
    EXPECT_EQ(read->body, request.body);
    for (size_t size = 0; size < bytes.size(); ++size)
        EXPECT_FALSE(ApiRequest::from_bytes(std::string_view(bytes).substr(0, size))) << size;
    EXPECT_FALSE(ApiRequest::from_bytes(bytes + "x"));

    ApiAnswer answer;
    answer.status = 504;
    answer.try_again = true;
    answer.body = "late";
    const auto told = ApiAnswer::from_bytes(answer.to_bytes());
    ASSERT_TRUE(told);
    EXPECT_EQ(told->status, 504u);
    EXPECT_TRUE(told->try_again);
    EXPECT_FALSE(told->is_csv);
    EXPECT_EQ(told->body, "late");
}

} // namespace
} // namespace dbnet::gateway
