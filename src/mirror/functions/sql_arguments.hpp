// Arguments of SQL functions as C++ values. Runs in backends.
#pragma once

#include "pg/guard.hpp"

#include <optional>
#include <string>
#include <vector>

namespace dbnet::mirror {

// Types text and name; the second also takes jsonb, as its text. nullopt: NULL.
std::optional<std::string> text_argument(FunctionCallInfo call_info, int number);
std::optional<std::string> name_argument(FunctionCallInfo call_info, int number);
std::optional<std::string> jsonb_argument(FunctionCallInfo call_info, int number);

// Type name[]; an element that is NULL is an error 22004.
std::optional<std::vector<std::string>> names_argument(FunctionCallInfo call_info, int number, const char *argument);

// Throws pg::error 22004 naming the argument when it is NULL.
std::string required(std::optional<std::string> value, const char *argument);
Oid required_relation(FunctionCallInfo call_info, int number, const char *argument);

// Throws pg::error 22023 when the value is none of the words. NULL passes.
void check_word(const std::optional<std::string> &value, const char *argument,
                std::initializer_list<const char *> words);

} // namespace dbnet::mirror
