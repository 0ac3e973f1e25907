// What headers of requests say, as far as it has to be taken apart. Pure C++; gateway and api worker.
#pragma once

#include <optional>
#include <string_view>

namespace dbnet::gateway {

// What follows "Bearer " in the header Authorization (the word in any case); nullopt: something else.
std::optional<std::string_view> bearer_token(std::string_view authorization) noexcept;

// Whether a Content-Type is JSON: "application/json; charset=utf-8", in any case.
bool is_json_type(std::string_view content_type) noexcept;

// Whether an Accept names text/csv before it names JSON or anything.
bool prefers_csv(std::string_view accept) noexcept;

} // namespace dbnet::gateway
