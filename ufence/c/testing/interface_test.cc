// The C interface, from a program that is compiled as C99.
#include <gtest/gtest.h>

#include "ufence/c/testing/program.h"

namespace ufence::testing {
namespace {

TEST(c_interface, fences_are_waited_for_and_looked_at) { EXPECT_STREQ(c_fences(), nullptr); }
TEST(c_interface, inline_functions_see_what_the_functions_say) {
  EXPECT_STREQ(c_inline_looks(), nullptr);
}
TEST(c_interface, rights_signal_once_and_are_used_up) { EXPECT_STREQ(c_rights(), nullptr); }
TEST(c_interface, issuers_get_their_data_back_once) { EXPECT_STREQ(c_backends(), nullptr); }
TEST(c_interface, callbacks_run_once_or_are_removed) { EXPECT_STREQ(c_callbacks(), nullptr); }
TEST(c_interface, timelines_complete_in_order_and_alone) { EXPECT_STREQ(c_timelines(), nullptr); }
TEST(c_interface, containers_end_with_what_is_in_them) { EXPECT_STREQ(c_containers(), nullptr); }
TEST(c_interface, sync_files_are_polled_merged_and_imported) {
  EXPECT_STREQ(c_sync_files(), nullptr);
}
TEST(c_interface, syncobjs_have_points_and_wait_for_them) { EXPECT_STREQ(c_syncobjs(), nullptr); }
TEST(c_interface, shared_timelines_rise_and_end) { EXPECT_STREQ(c_shared_timelines(), nullptr); }
TEST(c_interface, channels_carry_what_can_be_waited_for) { EXPECT_STREQ(c_channels(), nullptr); }
TEST(c_interface, modules_are_loaded_fed_and_unloaded) {
  EXPECT_STREQ(c_modules(UFENCE_TEST_MODULES "/c_adder.so", UFENCE_TEST_MODULES "/missing.so"),
               nullptr);
}
TEST(c_interface, loads_ask_for_options_opcodes_and_a_limit) {
  EXPECT_STREQ(c_load_options(UFENCE_TEST_MODULES "/c_adder.so"), nullptr);
}
TEST(c_interface, schedulers_share_a_device_and_outlive_it) {
  EXPECT_STREQ(c_schedulers(UFENCE_TEST_MODULES "/c_adder.so"), nullptr);
}
TEST(c_interface, reports_reach_a_handler) { EXPECT_STREQ(c_reports(), nullptr); }
TEST(c_interface, options_of_other_sizes_are_known_or_refused) {
  EXPECT_STREQ(c_options(), nullptr);
}

}  // namespace
}  // namespace ufence::testing
