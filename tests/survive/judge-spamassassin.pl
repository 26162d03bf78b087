#!/usr/bin/perl
# judge-spamassassin.pl FILE...: the points that SpamAssassin gives each message by its local rules, a JSON line each. Its rules about
# DKIM are left out: they ask the DNS.
use strict;
use warnings;
use JSON::PP;
use Mail::SpamAssassin;

my $judge = Mail::SpamAssassin->new({
    local_tests_only => 1, dont_copy_prefs => 1, userprefs_filename => '/dev/null', home_dir_for_helpers => '/tmp',
    post_config_text => "use_bayes 0\nuse_auto_welcomelist 0\n",
});
my $json = JSON::PP->new->canonical;
for my $path (@ARGV) {
    open my $file, '<:raw', $path or die "$path: $!";
    my $text = do { local $/; <$file> };
    $text =~ s/\r\n/\n/g;
    my $message = $judge->parse($text, 1);
    my $status = $judge->check($message);
    my $points = $status->get_names_of_tests_hit_with_scores_hash;
    my %points = map { $_ => $points->{$_} + 0 } grep { !/DKIM/ } keys %$points;
    print $json->encode({file => $path, points => \%points}), "\n";
    $status->finish;
    $message->finish;
}
