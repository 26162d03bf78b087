#!/usr/bin/perl
# verify-maildkim.pl [FILE...]: what Mail::DKIM says of each signature, one JSON line a file (see verify-opendkim.py).
use strict;
use warnings;
use JSON::PP;
use Mail::DKIM::Verifier;

my $json = JSON::PP->new->canonical->latin1->ascii;
$| = 1;
my $reads_paths = !@ARGV;
while (defined(my $path = $reads_paths ? <STDIN> : shift @ARGV)) {
    chomp $path;
    open my $file, '<:raw', $path or die "$path: $!\n";
    local $/;
    my $message = <$file>;
    my (@signatures, $detail);
    eval {
        my $verifier = Mail::DKIM::Verifier->new;
        $verifier->PRINT($message);
        $verifier->CLOSE;
        for my $signature ($verifier->signatures) {
            next if $signature->isa('Mail::DKIM::DkSignature'); # DomainKeys, before DKIM
            push @signatures, {
                d => $signature->domain // '', s => $signature->selector // '',
                result => $signature->result eq 'pass' ? 'pass' : 'fail', detail => $signature->result_detail,
            };
        }
        1;
    } or $detail = "$@";
    my $passed = !grep { $_->{result} ne 'pass' } @signatures;
    my $result = defined $detail || !$passed ? 'fail' : @signatures ? 'pass' : 'none';
    print $json->encode({
        file => $path, verifier => 'maildkim', result => $result,
        detail => $detail // '', signatures => \@signatures,
    }), "\n";
}
